//! Reading `$(…)`.

use std::borrow::Cow;

use super::expression::{Expression, Function, Source, Value};

/// Parentheses, calls and `not`s within each other; deeper templates are refused.
const DEEPEST: u32 = 32;

/// Why a template cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// The closing parenthesis is missing.
    #[error("'$(' without a closing ')'")]
    Unclosed,
    /// Something else was expected.
    #[error("expected {expected} at '{rest}'")]
    Expected {
        expected: &'static str,
        rest: String,
    },
    /// A name that templates do not know.
    #[error(
        "unknown name '{0}'; templates know headers, query_params, uri_captures, shared, \
         string.upper, string.lower, string.len, string.sub and tostring"
    )]
    Unknown(String),
    /// A function with too few or too many arguments.
    #[error("'{0}' takes {1} to {2} arguments")]
    Arity(String, usize, usize),
    /// Too many parentheses within each other.
    #[error("nested deeper than {DEEPEST} levels")]
    TooDeep,
}

type Parsed<T> = Result<T, ParseError>;

/// Reads an expression up to its closing parenthesis; returns what follows that, too.
pub(crate) fn parenthesised(text: &str) -> Parsed<(Expression, &str)> {
    let mut parser = Parser {
        rest: text,
        depth: 0,
    };
    if parser.takes(")") {
        return Ok((Expression::Constant(Value::Nil), parser.rest));
    }
    let expression = parser.or()?;
    if parser.peek().is_empty() {
        return Err(ParseError::Unclosed);
    }
    parser.expects(")", "')' or an operator")?;
    Ok((expression, parser.rest))
}

struct Parser<'t> {
    rest: &'t str,
    depth: u32,
}

impl<'t> Parser<'t> {
    fn or(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ParseError::TooDeep);
        }
        let mut left = self.and()?;
        while self.takes_word("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Parsed<Expression> {
        let mut left = self.comparison()?;
        while self.takes_word("and") {
            left = Expression::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Parsed<Expression> {
        let mut left = self.concat()?;
        loop {
            if self.takes("==") {
                left = Expression::Equal(Box::new(left), Box::new(self.concat()?));
            } else if self.takes("~=") {
                let equal = Expression::Equal(Box::new(left), Box::new(self.concat()?));
                left = Expression::Not(Box::new(equal));
            } else {
                return Ok(left);
            }
        }
    }

    fn concat(&mut self) -> Parsed<Expression> {
        let mut left = self.unary()?;
        while self.takes("..") {
            left = Expression::Concat(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let mut nots = 0_u32;
        while self.takes_word("not") {
            nots += 1;
        }
        if nots == 0 {
            return self.postfix();
        }
        let inner = Expression::Not(Box::new(self.postfix()?));
        // Each further pair changes nothing.
        Ok(if nots.is_multiple_of(2) {
            Expression::Not(Box::new(inner))
        } else {
            inner
        })
    }

    /// A primary expression, and methods called on it.
    fn postfix(&mut self) -> Parsed<Expression> {
        let mut expression = self.primary()?;
        let mut methods = 0;
        while self.takes(":") {
            methods += 1;
            if methods > DEEPEST {
                return Err(ParseError::TooDeep);
            }
            let name = self.name("a method's name")?;
            let function =
                Function::named(name).ok_or_else(|| ParseError::Unknown(format!(":{name}")))?;
            let mut arguments = vec![expression];
            arguments.extend(self.arguments()?);
            expression = call(name, function, arguments)?;
        }
        Ok(expression)
    }

    fn primary(&mut self) -> Parsed<Expression> {
        let rest = self.peek();
        match rest.chars().next() {
            Some('(') => {
                self.takes("(");
                let inner = self.or()?;
                self.expects(")", "')'")?;
                Ok(inner)
            }
            Some('\'' | '"') => Ok(Expression::Constant(Value::Text(Cow::Owned(self.text()?)))),
            Some(digit) if digit.is_ascii_digit() || digit == '-' => self.number(),
            Some(letter) if letter.is_ascii_alphabetic() || letter == '_' => self.named(),
            _ => Err(self.error("a value")),
        }
    }

    /// An expression that begins with a name.
    fn named(&mut self) -> Parsed<Expression> {
        let name = self.name("a name")?;
        let constant = match name {
            "nil" => Value::Nil,
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            "tostring" => {
                let arguments = self.arguments()?;
                return call(name, Function::ToString, arguments);
            }
            "string" => {
                self.expects(".", "'.' and a function of string")?;
                let name = self.name("a function of string")?;
                let unknown = || ParseError::Unknown(format!("string.{name}"));
                let function = Function::named(name).ok_or_else(unknown)?;
                let arguments = self.arguments()?;
                return call(name, function, arguments);
            }
            _ => {
                let unknown = || ParseError::Unknown(name.to_owned());
                let source = Source::named(name).ok_or_else(unknown)?;
                return self.lookup(source);
            }
        };
        Ok(Expression::Constant(constant))
    }

    fn lookup(&mut self, source: Source) -> Parsed<Expression> {
        let name = if self.takes("[") {
            let name = self.or()?;
            self.expects("]", "']'")?;
            name
        } else {
            self.expects(".", "'.' or '['")?;
            let name = self.name("a name")?.as_bytes().to_vec();
            Expression::Constant(Value::Text(Cow::Owned(name)))
        };
        Ok(Expression::Lookup(source, Box::new(name)))
    }

    fn arguments(&mut self) -> Parsed<Vec<Expression>> {
        self.expects("(", "'('")?;
        let mut arguments = Vec::new();
        if self.takes(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.or()?);
            if self.takes(")") {
                return Ok(arguments);
            }
            self.expects(",", "',' or ')'")?;
        }
    }

    fn text(&mut self) -> Parsed<Vec<u8>> {
        let quoted = self.peek();
        let quote = quoted.chars().next();
        let mut text = String::new();
        let mut chars = quoted.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other @ ('\\' | '\'' | '"'))) => text.push(other),
                    _ => return Err(self.error("a known escape sequence in the text")),
                },
                char if Some(char) == quote => {
                    self.rest = &quoted[at + 1..];
                    return Ok(text.into_bytes());
                }
                char => text.push(char),
            }
        }
        Err(self.error("a text with a closing quote"))
    }

    fn number(&mut self) -> Parsed<Expression> {
        let rest = self.peek();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let length = digits
            .find(|char: char| !char.is_ascii_digit())
            .unwrap_or(digits.len());
        // `1..2` is two numbers joined, `1.5` is one.
        let fraction = digits[length..].strip_prefix('.').map_or(0, |fraction| {
            let end = fraction.find(|char: char| !char.is_ascii_digit());
            end.unwrap_or(fraction.len())
        });
        let length = length + if fraction > 0 { fraction + 1 } else { 0 };
        let (number, after) = rest.split_at(rest.len() - digits.len() + length);
        let number = number.parse().map_err(|_| self.error("a number"))?;
        self.rest = after;
        Ok(Expression::Constant(Value::Number(number)))
    }

    fn name(&mut self, expected: &'static str) -> Parsed<&'t str> {
        let rest = self.peek();
        let end = rest
            .find(|char: char| !(char.is_ascii_alphanumeric() || char == '_'))
            .unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|char: char| char.is_ascii_digit()) {
            return Err(self.error(expected));
        }
        self.rest = &rest[end..];
        Ok(&rest[..end])
    }

    /// What follows, without spaces before it.
    fn peek(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn takes(&mut self, sign: &str) -> bool {
        match self.peek().strip_prefix(sign) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let Some(after) = self.peek().strip_prefix(word) else {
            return false;
        };
        let ends = !after.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
        if ends {
            self.rest = after;
        }
        ends
    }

    fn expects(&mut self, sign: &str, expected: &'static str) -> Parsed<()> {
        if self.takes(sign) {
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    fn error(&self, expected: &'static str) -> ParseError {
        ParseError::Expected {
            expected,
            rest: self.rest.chars().take(40).collect(),
        }
    }
}

fn call(name: &str, function: Function, arguments: Vec<Expression>) -> Parsed<Expression> {
    let (least, most) = function.arity();
    if (least..=most).contains(&arguments.len()) {
        Ok(Expression::Call(function, arguments))
    } else {
        Err(ParseError::Arity(name.to_owned(), least, most))
    }
}

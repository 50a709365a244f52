use super::*;

fn chosen(variables: &[(&str, &str)], config: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    std::fs::write(&path, config).unwrap();
    let files = [
        ("AWS_CONFIG_FILE", path.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ];
    let all = variables.iter().copied().chain(files);
    let environment =
        Environment::new(all.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let profiles = Profiles::read(&environment)?;
    Ok(told(&choose(&environment, &profiles)?))
}

/// The shape of an origin in one line.
fn told(origin: &Origin) -> String {
    match origin {
        Origin::Keys(keys) => format!("keys {}", keys.key_id),
        Origin::WebIdentity { token_file, role } => {
            format!("web identity {} {}", token_file.display(), role.arn)
        }
        Origin::Assumed { by, role } => {
            let id = role.external_id.as_deref().unwrap_or("-");
            format!("{} as {} {id} from {}", role.arn, role.session, told(by))
        }
        Origin::Container { url, authorization } => format!("container {url} {authorization:?}"),
        Origin::Instance { endpoint } => format!("instance {endpoint}"),
        Origin::Process(command) => format!("process {command}"),
    }
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK")];
const IRSA: [(&str, &str); 2] = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r")];
const ECS: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
const PROFILE: &str = "[default]\naws_access_key_id = PK\naws_secret_access_key = s\n";

#[test]
fn the_chain_is_looked_through_in_the_order_of_the_vendors_tools() {
    let all: Vec<_> = KEYS.into_iter().chain(IRSA).chain([ECS]).collect();
    assert_eq!(chosen(&all, PROFILE).unwrap(), "keys AK");
    assert_eq!(chosen(&all[2..], PROFILE).unwrap(), "web identity /t r");
    assert_eq!(chosen(&all[4..], PROFILE).unwrap(), "keys PK");
    assert_eq!(
        chosen(&all[4..], "").unwrap(),
        "container http://169.254.170.2/v2/x None"
    );
    assert_eq!(chosen(&[], "").unwrap(), "instance http://169.254.169.254/");
}

#[test]
fn where_nothing_is_left_the_places_that_were_looked_at_are_listed() {
    let wrong = chosen(&[("AWS_EC2_METADATA_DISABLED", "true")], "").unwrap_err();
    for place in [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "`default`",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "EC2",
    ] {
        assert!(wrong.contains(place), "{wrong}");
    }
}

#[test]
fn profiles_lead_to_roles_over_several_steps() {
    let config = "[profile edge]\nrole_arn = outer\nsource_profile = mid\nexternal_id = x\n[profile mid]\nrole_arn = inner\nrole_session_name = me\nsource_profile = base\n[profile base]\naws_access_key_id = BK\naws_secret_access_key = s\n";
    assert_eq!(
        chosen(&[("AWS_PROFILE", "edge")], config).unwrap(),
        "outer as keelgate x from inner as me - from keys BK"
    );
    let own = "[profile a]\nrole_arn = r\nsource_profile = a\naws_access_key_id = AK\naws_secret_access_key = s\n";
    assert_eq!(
        chosen(&[("AWS_PROFILE", "a")], own).unwrap(),
        "r as keelgate - from keys AK"
    );
    let source = "[default]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n";
    assert_eq!(
        chosen(&[], source).unwrap(),
        "r as keelgate - from instance http://169.254.169.254/"
    );
    let process = "[default]\ncredential_process = /bin/get --it\n";
    assert_eq!(chosen(&[], process).unwrap(), "process /bin/get --it");
}

#[test]
fn a_role_of_the_environment_is_assumed_by_whatever_was_found() {
    let mut variables = KEYS.to_vec();
    variables.push(("AWS_ASSUME_ROLE_ARN", "arn"));
    variables.push(("AWS_ROLE_SESSION_NAME", "node"));
    assert_eq!(
        chosen(&variables, "").unwrap(),
        "arn as node - from keys AK"
    );
}

#[test]
fn an_endpoint_of_a_container_must_keep_secrets() {
    let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    for good in [
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1/credentials",
        "http://127.0.0.1:5000/x",
        "https://credentials.example/x",
    ] {
        assert!(
            chosen(&[(full, good)], "")
                .unwrap()
                .starts_with("container"),
            "{good}"
        );
    }
    for bad in [
        "http://example.com/x",
        "http://169.254.169.254/x",
        "ftp://127.0.0.1/",
        "x",
    ] {
        let wrong = chosen(&[(full, bad)], "").unwrap_err();
        assert!(wrong.contains(full), "{wrong}");
    }
}

#[test]
fn what_is_half_set_is_an_error_that_names_it() {
    for (variables, config, named) in [
        (vec![KEYS[0]], "", "AWS_SECRET_ACCESS_KEY"),
        (vec![KEYS[1]], "", "AWS_ACCESS_KEY_ID"),
        (vec![IRSA[0]], PROFILE, "AWS_ROLE_ARN"),
        (vec![("AWS_PROFILE", "gone")], "", "`gone`"),
        (
            vec![("AWS_PROFILE", "a")],
            "[profile a]\nregion = x\n",
            "`a`",
        ),
        (vec![], "[default]\nrole_arn = r\n", "source_profile"),
        (
            vec![],
            "[default]\nrole_arn = r\nsource_profile = b\n",
            "`b`",
        ),
        (
            vec![],
            "[default]\nrole_arn = r\ncredential_source = Sky\n",
            "credential_source",
        ),
        (
            vec![],
            "[default]\nrole_arn = r\nmfa_serial = m\n",
            "mfa_serial",
        ),
        (vec![], "[default]\nsso_session = s\n", "sso_"),
        (
            vec![],
            "[default]\naws_access_key_id = k\n",
            "aws_secret_access_key",
        ),
        (
            vec![("AWS_PROFILE", "a")],
            "[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n",
            "circle",
        ),
    ] {
        let wrong = chosen(&variables, config).unwrap_err();
        assert!(wrong.contains(named), "{wrong}");
    }
}

#[test]
fn no_secret_is_shown() {
    let environment = Environment::new(
        [
            ("AWS_ACCESS_KEY_ID", "AK"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_SESSION_TOKEN", "hunter2"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let origin = choose(&environment, &Profiles::default()).unwrap();
    assert!(!format!("{origin:?}").contains("hunter2"));
}

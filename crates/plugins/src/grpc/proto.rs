//! Services as `.proto` files describe them, and their messages as JSON.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost_reflect::prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use protox::Compiler;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};
use rustc_hash::FxHashMap;

/// Where imports are looked for beside the directory of the file, as in Kong.
const INCLUDED: [&str; 3] = [
    "/usr/local/kong/include",
    "/usr/local/opt/protobuf/include",
    "/usr/include",
];

/// The options that bind methods to paths of HTTP. Their numbers are those of the public interface.
const HTTP: &str = r#"
syntax = "proto3";
package google.api;
message Http {
  repeated HttpRule rules = 1;
  bool fully_decode_reserved_expansion = 2;
}
message HttpRule {
  string selector = 1;
  oneof pattern {
    string get = 2;
    string put = 3;
    string post = 4;
    string delete = 5;
    string patch = 6;
    CustomHttpPattern custom = 8;
  }
  string body = 7;
  string response_body = 12;
  repeated HttpRule additional_bindings = 11;
}
message CustomHttpPattern {
  string kind = 1;
  string path = 2;
}
"#;

/// Where those options stand.
const ANNOTATIONS: &str = r#"
syntax = "proto3";
package google.api;
import "google/api/http.proto";
import "google/protobuf/descriptor.proto";
extend google.protobuf.MethodOptions {
  HttpRule http = 72295728;
}
"#;

/// What every file may import without bringing it along.
struct BuiltIn;

impl FileResolver for BuiltIn {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "google/api/http.proto" => File::from_source(name, HTTP),
            "google/api/annotations.proto" => File::from_source(name, ANNOTATIONS),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Reads a file and all that it imports.
pub(crate) fn load(file: &str) -> Result<DescriptorPool, protox::Error> {
    let file = Path::new(file);
    let directory = match file.parent() {
        Some(directory) if directory != Path::new("") => directory.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut files = ChainFileResolver::new();
    files.add(IncludeFileResolver::new(directory));
    for directory in INCLUDED {
        files.add(IncludeFileResolver::new(directory.into()));
    }
    files.add(BuiltIn);
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.open_file(file)?;
    Ok(compiler.descriptor_pool())
}

/// The path by which a method is called.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Every method of every service.
pub(crate) fn methods(pool: &DescriptorPool) -> impl Iterator<Item = MethodDescriptor> {
    pool.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
}

/// Methods by the path that they are called by.
pub(crate) fn by_path(pool: &DescriptorPool) -> FxHashMap<String, MethodDescriptor> {
    methods(pool)
        .map(|method| (path(&method), method))
        .collect()
}

/// A message from its JSON; fields that it does not have are passed over.
pub(crate) fn from_json<'de>(
    kind: MessageDescriptor,
    json: impl serde::Deserializer<'de, Error = serde_json::Error>,
) -> Result<Vec<u8>, serde_json::Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(kind, json, &options)?;
    Ok(message.encode_to_vec())
}

/// The same from text.
pub(crate) fn from_text(
    kind: MessageDescriptor,
    text: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    let value: serde_json::Value = serde_json::from_slice(text)?;
    from_json(kind, value)
}

/// A message as JSON with the names of the `.proto` file, all plain fields and numbers as numbers; none when it is no such
/// message.
pub(crate) fn to_json(kind: MessageDescriptor, message: Bytes) -> Option<Vec<u8>> {
    let message = DynamicMessage::decode(kind, message).ok()?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let mut writer = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut writer, &options).ok()?;
    Some(writer.into_inner())
}

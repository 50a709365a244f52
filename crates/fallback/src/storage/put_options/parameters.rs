//! The parameters of PutObject.

/// How the value of a parameter is read, and the header that it becomes.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// A text as it stands.
    Text(&'static str),
    /// One of these words.
    Choice(&'static str, &'static [&'static str]),
    /// True or false.
    Flag(&'static str),
    /// A time as RFC 3339 writes it; HTTP writes `expires` in its own way.
    Time(&'static str),
    /// `key=value&key=value`, percent-encoded, or an object of texts.
    Tags(&'static str),
    /// An object of texts, or that object as base64.
    Context(&'static str),
    /// An object of texts; each becomes a header.
    Metadata,
    /// A checksum that is made of every object.
    Checksum,
    /// Half of SSE-C: only one algorithm exists.
    CustomerAlgorithm,
    /// The key of SSE-C.
    CustomerKey,
    /// A digest of that key, which is made from it.
    CustomerKeyDigest,
    /// Who pays for requests.
    RequestPayer,
    /// Never taken, and why.
    Refused(&'static str),
}

const OF_EACH_OBJECT: &str = "the gateway sets it for each object";
const OTHER_CHECKSUM: &str =
    "it is a value of one object: set ChecksumAlgorithm to SHA256 or CRC64NVME";

/// Every parameter of PutObject by the name that the SDKs give it.
pub(super) const PARAMETERS: [(&str, Rule); 41] = [
    (
        "ACL",
        Rule::Choice(
            "x-amz-acl",
            &[
                "private",
                "public-read",
                "public-read-write",
                "authenticated-read",
                "aws-exec-read",
                "bucket-owner-read",
                "bucket-owner-full-control",
            ],
        ),
    ),
    ("Body", Rule::Refused(OF_EACH_OBJECT)),
    (
        "Bucket",
        Rule::Refused("it is part of the storage's address"),
    ),
    (
        "BucketKeyEnabled",
        Rule::Flag("x-amz-server-side-encryption-bucket-key-enabled"),
    ),
    ("CacheControl", Rule::Text("cache-control")),
    ("ChecksumAlgorithm", Rule::Checksum),
    ("ChecksumCRC32", Rule::Refused(OTHER_CHECKSUM)),
    ("ChecksumCRC32C", Rule::Refused(OTHER_CHECKSUM)),
    ("ChecksumCRC64NVME", Rule::Refused(OTHER_CHECKSUM)),
    ("ChecksumSHA1", Rule::Refused(OTHER_CHECKSUM)),
    ("ChecksumSHA256", Rule::Refused(OTHER_CHECKSUM)),
    ("ContentDisposition", Rule::Text("content-disposition")),
    (
        "ContentEncoding",
        Rule::Refused("objects are written as they are, and readers decode nothing"),
    ),
    ("ContentLanguage", Rule::Text("content-language")),
    ("ContentLength", Rule::Refused(OF_EACH_OBJECT)),
    ("ContentMD5", Rule::Refused(OF_EACH_OBJECT)),
    ("ContentType", Rule::Text("content-type")),
    (
        "ExpectedBucketOwner",
        Rule::Text("x-amz-expected-bucket-owner"),
    ),
    ("Expires", Rule::Time("expires")),
    ("GrantFullControl", Rule::Text("x-amz-grant-full-control")),
    ("GrantRead", Rule::Text("x-amz-grant-read")),
    ("GrantReadACP", Rule::Text("x-amz-grant-read-acp")),
    ("GrantWriteACP", Rule::Text("x-amz-grant-write-acp")),
    ("IfMatch", Rule::Refused(OF_EACH_OBJECT)),
    ("IfNoneMatch", Rule::Refused(OF_EACH_OBJECT)),
    ("Key", Rule::Refused(OF_EACH_OBJECT)),
    ("Metadata", Rule::Metadata),
    (
        "ObjectLockLegalHoldStatus",
        Rule::Choice("x-amz-object-lock-legal-hold", &["ON", "OFF"]),
    ),
    (
        "ObjectLockMode",
        Rule::Choice("x-amz-object-lock-mode", &["GOVERNANCE", "COMPLIANCE"]),
    ),
    (
        "ObjectLockRetainUntilDate",
        Rule::Time("x-amz-object-lock-retain-until-date"),
    ),
    ("RequestPayer", Rule::RequestPayer),
    ("SSECustomerAlgorithm", Rule::CustomerAlgorithm),
    ("SSECustomerKey", Rule::CustomerKey),
    ("SSECustomerKeyMD5", Rule::CustomerKeyDigest),
    (
        "SSEKMSEncryptionContext",
        Rule::Context("x-amz-server-side-encryption-context"),
    ),
    (
        "SSEKMSKeyId",
        Rule::Text("x-amz-server-side-encryption-aws-kms-key-id"),
    ),
    (
        "ServerSideEncryption",
        Rule::Choice(
            "x-amz-server-side-encryption",
            &["AES256", "aws:kms", "aws:kms:dsse", "aws:fsx"],
        ),
    ),
    ("StorageClass", Rule::Text("x-amz-storage-class")),
    ("Tagging", Rule::Tags("x-amz-tagging")),
    (
        "WebsiteRedirectLocation",
        Rule::Text("x-amz-website-redirect-location"),
    ),
    (
        "WriteOffsetBytes",
        Rule::Refused("objects are written whole"),
    ),
];

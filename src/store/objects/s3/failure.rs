//! From the client's errors to [`ObjectError`]: what they mean, and what to do about it.

use minio::s3::error::{Error, NetworkError, S3ServerError, ValidationErr};

use super::S3Objects;
use crate::store::objects::{Bucket, ObjectError};

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}

/// Codes of a server that cannot serve now.
const BUSY: &[&str] = &[
    "slowdown",
    "slowdownread",
    "slowdownwrite",
    "internalerror",
    "serviceunavailable",
    "requesttimeout",
    "operationaborted",
    "busy",
    "xminioservernotinitialized",
];

/// Whether `code` says that the key is not let in at all.
fn is_about_credentials(code: &str) -> bool {
    [
        "signaturedoesnotmatch",
        "invalidaccesskeyid",
        "requesttimetooskewed",
        "authorizationheadermalformed",
        "invalidsecurity",
        "unauthorizedaccess",
    ]
    .contains(&code)
}

fn advice(code: &str) -> &'static str {
    match code {
        "signaturedoesnotmatch" => "correct objects.secret_key (MINIO_SECRET_KEY)",
        "invalidaccesskeyid" => "correct objects.access_key (MINIO_ACCESS_KEY)",
        "requesttimetooskewed" => "set the clock of this machine",
        "authorizationheadermalformed" => "correct objects.region (MINIO_REGION)",
        "accessdenied" => "give the key the right to do so in this bucket",
        "nosuchbucket" => "let the key make buckets, or make it by hand",
        _ => "see the log of the service",
    }
}

impl S3Objects {
    /// What `error` means for an object or bucket.
    pub(super) fn failure(
        &self,
        action: &'static str,
        bucket: Bucket,
        key: Option<&str>,
        error: Error,
    ) -> ObjectError {
        let away = |cause: String| ObjectError::Away { endpoint: self.0.endpoint.clone(), cause };
        match error {
            Error::S3Server(S3ServerError::S3Error(error)) => {
                let message = error.message().clone().unwrap_or_default();
                self.refusal(action, bucket, key, &code_name(&error.code()), &message)
            }
            Error::S3Server(S3ServerError::InvalidServerResponse { http_status_code, .. }) => {
                self.by_status(action, bucket, key, http_status_code)
            }
            Error::S3Server(S3ServerError::HttpError(status, _))
            | Error::Network(NetworkError::ServerError(status)) => {
                self.by_status(action, bucket, key, status)
            }
            Error::Network(NetworkError::ReqwestError(error))
            | Error::Validation(ValidationErr::HttpError(error)) => {
                // Its own text repeats the whole address.
                away(chain(&error.without_url()))
            }
            Error::DriveIo(error) => away(chain(&error)),
            Error::Validation(error) => ObjectError::Refused {
                endpoint: self.0.endpoint.clone(),
                what: self.what(action, bucket, key),
                code: "the answer or request is not as S3 has it".to_owned(),
                advice: chain(&error),
                credentials: false,
            },
        }
    }

    fn by_status(
        &self,
        action: &'static str,
        bucket: Bucket,
        key: Option<&str>,
        status: u16,
    ) -> ObjectError {
        let code = match status {
            500.. if status != 501 => {
                return ObjectError::Away {
                    endpoint: self.0.endpoint.clone(),
                    cause: format!("it answers {status} to \"{action}\""),
                };
            }
            401 | 403 => "accessdenied",
            409 if key.is_some() => "conditionalrequestconflict",
            412 => "preconditionfailed",
            404 if key.is_some() => "nosuchkey",
            404 => "nosuchbucket",
            405 | 501 => "notimplemented",
            _ => return self.refusal(action, bucket, key, &format!("http {status}"), ""),
        };
        self.refusal(action, bucket, key, code, "")
    }

    fn refusal(
        &self,
        action: &'static str,
        bucket: Bucket,
        key: Option<&str>,
        code: &str,
        message: &str,
    ) -> ObjectError {
        if BUSY.contains(&code) {
            return ObjectError::Away {
                endpoint: self.0.endpoint.clone(),
                cause: format!("it answers {code} to \"{action}\": {message}"),
            };
        }
        match (code, key) {
            ("nosuchkey" | "nosuchversion" | "nosuchobject", Some(key)) => {
                ObjectError::Missing { bucket: bucket.as_str(), key: key.to_owned(), version: None }
            }
            ("preconditionfailed" | "conditionalrequestconflict", Some(key)) => {
                ObjectError::Changed { bucket: bucket.as_str(), key: key.to_owned() }
            }
            ("baddigest" | "invaliddigest" | "xamzcontentsha256mismatch", Some(key)) => {
                ObjectError::Damaged {
                    bucket: bucket.as_str(),
                    key: key.to_owned(),
                    what: format!("what arrived at the server is not what was sent ({code})"),
                }
            }
            _ => ObjectError::Refused {
                endpoint: self.0.endpoint.clone(),
                what: self.what(action, bucket, key),
                code: code.to_owned(),
                advice: advice(code).to_owned(),
                credentials: is_about_credentials(code),
            },
        }
    }

    fn what(&self, action: &str, bucket: Bucket, key: Option<&str>) -> String {
        let bucket = self.bucket_name(bucket);
        key.map_or_else(|| format!("{action} {bucket}"), |key| format!("{action} {bucket}/{key}"))
    }
}

/// The code as the server spells it, in lower case; the client knows some by names of its own.
fn code_name(code: &minio::s3::minio_error_response::MinioErrorCode) -> String {
    use minio::s3::minio_error_response::MinioErrorCode as Code;
    match code {
        Code::OtherError(text) => text.to_ascii_lowercase(),
        known => format!("{known:?}").to_ascii_lowercase(),
    }
}

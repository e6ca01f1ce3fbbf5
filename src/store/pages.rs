//! Refuses a web page in place of an answer: a wrong port with a user interface behind it, the login page of a proxy.
//!
//! object_store reads a list by the names in it and takes a page that has none of them for an empty list, so that a
//! query would find no rows and say nothing.

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};
use object_store::{ClientOptions, Result};

use crate::error::{Error, Kind};

/// Connections of object_store's own, with that look at each answer.
#[derive(Clone, Debug)]
pub(super) struct NoPages;

impl HttpConnector for NoPages {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Looked(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Looked(HttpClient);

#[async_trait]
impl HttpService for Looked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let lists = request.uri().query().is_some_and(|query| query.contains("list-type="));
        let response = self.0.execute(request).await?;
        let content = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if lists && content.is_some_and(|content| content.starts_with("text/html")) {
            let page =
                "a web page came in place of a list: is the endpoint that of S3, and is no proxy before it?";
            return Err(HttpError::new(HttpErrorKind::Decode, Error::new(Kind::Store, page)));
        }
        Ok(response)
    }
}

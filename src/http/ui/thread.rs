//! The thread that makes the pages, so that the threads that serve pulls need not. It has a low priority and an
//! application of its own, to which the routes of the console pass their requests on.

use std::pin::pin;
use std::rc::Rc;

use actix_http::Request;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Compress;
use actix_web::rt::spawn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse};
use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::fault::{Fault, Kind, NOT_NOW};
use super::formatting::first_upper;
use super::limits::{Admitted, Limits};
use super::page::Frame;
use super::passed::{PassedRequest, PassedResponse, SentBody};
use crate::actors::policy_evaluator::{NotConfirmed, TooOld};
use crate::http::api::{ApiState, shows_identities};
use crate::http::form_body;
use crate::http::refusals::Reason;
use crate::telemetry::RequestId;

/// Handle of the thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Console {
    jobs: mpsc::UnboundedSender<Job>,
    limits: Limits,
    state: Data<ApiState>,
}

/// A page to make.
struct Job {
    request: PassedRequest,
    id: Option<RequestId>,
    response: oneshot::Sender<PassedResponse>,
    /// Held until the page is made, also if the client leaves before.
    _admitted: Admitted,
}

impl Console {
    /// Creates the handle, and the work of the thread, which never ends.
    pub(crate) fn new(state: Data<ApiState>) -> (Self, impl FnOnce() -> LocalBoxFuture<'static, ()> + Send) {
        let (jobs, received) = mpsc::unbounded_channel();
        let handle = Self { jobs, limits: Limits::new(), state: state.clone() };
        (handle, || Box::pin(make_pages(state, received)))
    }

    async fn make(&self, request: &HttpRequest, body: SentBody) -> Result<HttpResponse, NotMade> {
        let busy = if request.method().is_safe() { NotMade::Busy } else { NotMade::TooManyForms };
        let admitted = self.limits.admit(request, &self.state).ok_or(busy)?;
        self.state.identities.hold().await.map_err(NotMade::TooOld)?;
        let (response, made) = oneshot::channel();
        let passed = PassedRequest::of(request, body);
        self.jobs
            .send(Job { request: passed, id: RequestId::present(), response, _admitted: admitted })
            .map_err(|_| NotMade::Failed)?;
        let made = made.await.map_err(|_| NotMade::Failed)?.into_response(request);
        if shows_identities(request.method(), made.status()) {
            self.state.identities.confirmed().await.map_err(NotMade::NotConfirmed)?;
        }
        Ok(made)
    }
}

/// Passes a request for any page on to the thread of the pages.
///
/// # Errors
///
/// Fails if too many pages are being made, or if this one cannot be made because of a fault of the service.
pub(super) async fn pass_on(
    request: HttpRequest,
    payload: web::Payload,
    console: Data<Console>,
) -> Result<HttpResponse, Fault> {
    let body = form_body::whole(&request, &mut payload.into_inner()).await;
    let made = console.make(&request, SentBody(body)).await;
    made.map_err(|not_made| Fault::new(not_made.into(), Frame::of_nobody(String::new())))
}

/// Reason why there is no page.
#[derive(Clone, Copy, Debug)]
enum NotMade {
    Busy,
    TooManyForms,
    TooOld(TooOld),
    NotConfirmed(NotConfirmed),
    Failed,
}

impl From<NotMade> for Kind {
    fn from(not_made: NotMade) -> Self {
        let (status, reason, wait, sentence) = match not_made {
            NotMade::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                Reason::Busy,
                Some(1),
                "Too many pages are being made at this moment. Load this one again in a few seconds.",
            ),
            NotMade::TooManyForms => (
                StatusCode::SERVICE_UNAVAILABLE,
                Reason::Busy,
                Some(1),
                "Nothing was changed: too many forms are being carried out at this moment, of all people or of you. Go \
                 back, and send it again in a few seconds.",
            ),
            NotMade::TooOld(error) => return Self::of_store(format!("Nothing was changed: {error}.")),
            NotMade::NotConfirmed(error) => {
                return Self::of_store(format!("{}.", first_upper(&error.to_string())));
            }
            NotMade::Failed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                Reason::Internal,
                None,
                "It is not your fault: the log of the service says why. If you were changing something, look whether \
                 the change is there before you try again.",
            ),
        };
        Self::Refused { status, reason, heading: NOT_NOW, sentence: sentence.to_owned(), wait, details: None }
    }
}

async fn make_pages(state: Data<ApiState>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let app = App::new().app_data(state).configure(super::configure_pages).wrap(Compress::default());
    let made = map_config(app.into_factory(), |_| AppConfig::default()).new_service(()).await;
    let app = Rc::new(made.unwrap_or_else(|()| unreachable!("an application is made of routes, which cannot fail")));
    while let Some(job) = jobs.recv().await {
        // A task for each request, so that one that waits for a registry delays no other, and one that panics affects
        // no other.
        spawn(make_page(app.clone(), job));
    }
}

async fn make_page<S, B>(app: Rc<S>, job: Job)
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    let Job { request, id, response, _admitted } = job;
    if response.is_closed() {
        return;
    }
    let making = async {
        // The application makes a response of every error.
        let made = app.call(request.into_request()).await.ok()?;
        PassedResponse::of(made).await
    };
    let made = match id {
        Some(id) => id.during(pin!(making)).await,
        None => making.await,
    };
    if let Some(made) = made {
        // The client may have left.
        drop(response.send(made));
    }
}

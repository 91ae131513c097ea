//! Endpoints of the settings of the whole service.

use crate::http::api::endpoint::parameter::Parameter;
use crate::http::api::endpoint::{Access, Endpoint};
use crate::http::api::settings;

const SETTINGS: &[Parameter] =
    &[Parameter::flag("dependency_proxy_enabled", "Whether groups may pull; `null`: as configured").nullable()];

pub(super) fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/application/settings", settings::show)
            .summary("Returns the settings that the API can change")
            .by(Access::Administrator),
        Endpoint::put("/application/settings", settings::update)
            .summary("Changes the settings")
            .by(Access::Administrator)
            .takes(SETTINGS),
    ]
}

//! `ip route`.

use std::net::IpAddr;

use super::Options;
use super::object::{Json, Object};
use crate::control::model::Route;

/// Which routes to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `None` is every table.
    pub table: Option<String>,
    /// Exactly this destination.
    pub prefix: Option<(IpAddr, u8)>,
    pub dev: Option<String>,
    pub gateway: Option<IpAddr>,
    pub protocol: Option<String>,
    pub scope: Option<String>,
    pub kind: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted {
            table: Some("main".into()),
            prefix: None,
            dev: None,
            gateway: None,
            protocol: None,
            scope: None,
            kind: None,
        }
    }
}

impl Wanted {
    fn fits(&self, route: &Route) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        is(&self.table, &route.table)
            && self.prefix.is_none_or(|prefix| prefix == (route.destination, route.prefix_len))
            && is(&self.dev, route.dev.as_deref().unwrap_or_default())
            && self.gateway.is_none_or(|gateway| route.gateway == Some(gateway))
            && is(&self.protocol, &route.protocol)
            && is(&self.scope, &route.scope)
            && is(&self.kind, &route.kind)
    }
}

/// Those wanted; the main table comes first when several are listed.
fn listed<'a>(routes: &'a [Route], wanted: &'a Wanted) -> impl Iterator<Item = &'a Route> {
    let of = move |main: bool| {
        routes.iter().filter(move |route| (route.table == "main") == main && wanted.fits(route))
    };
    of(true).chain(of(false))
}

/// The routes as text; what was asked for is not told again.
pub fn text(routes: &[Route], wanted: &Wanted, options: &Options) -> String {
    let mut text = String::new();
    for route in listed(routes, wanted) {
        text += &line(route, wanted, options.details);
        text += " \n";
    }
    text
}

fn destination(route: &Route) -> String {
    match (route.destination, route.prefix_len) {
        (address, 0) if address.is_unspecified() => "default".into(),
        (address, 32) if address.is_ipv4() => address.to_string(),
        (address, len) => format!("{address}/{len}"),
    }
}

fn line(route: &Route, wanted: &Wanted, details: bool) -> String {
    let mut text = String::new();
    if details || route.kind != "unicast" {
        text += &format!("{} ", route.kind);
    }
    text += &destination(route);
    if let Some(gateway) = route.gateway.filter(|_| wanted.gateway.is_none()) {
        text += &format!(" via {gateway}");
    }
    if let Some(dev) = route.dev.as_ref().filter(|_| wanted.dev.is_none()) {
        text += &format!(" dev {dev}");
    }
    if wanted.table.is_none() && (details || route.table != "main") {
        text += &format!(" table {}", route.table);
    }
    if (details || route.protocol != "boot") && wanted.protocol.is_none() {
        text += &format!(" proto {}", route.protocol);
    }
    if (details || route.scope != "global") && wanted.scope.is_none() {
        text += &format!(" scope {}", route.scope);
    }
    if let Some(source) = route.source {
        text += &format!(" src {source}");
    }
    if route.metric != 0 {
        text += &format!(" metric {}", route.metric);
    }
    for (set, word) in [(route.onlink, " onlink"), (route.linkdown, " linkdown")] {
        text += if set { word } else { "" };
    }
    if let Some(mtu) = route.mtu {
        text += &format!(" mtu {mtu}");
    }
    text
}

/// The routes as JSON.
pub fn json(routes: &[Route], wanted: &Wanted, options: &Options) -> Json {
    Json::List(listed(routes, wanted).map(|route| object(route, wanted, options).into()).collect())
}

fn object(route: &Route, wanted: &Wanted, options: &Options) -> Object {
    let details = options.details;
    let unless = |told: bool, text: &str| told.then(|| text.to_string());
    let flags = [(route.onlink, "onlink"), (route.linkdown, "linkdown")];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| name.to_string());
    let table = wanted.table.is_none() && (details || route.table != "main");
    let mtu = |mtu: u16| vec![Json::from(Object::default().with("mtu", mtu))];
    Object::default()
        .with_some("type", unless(details || route.kind != "unicast", &route.kind))
        .with("dst", destination(route))
        .with_some("gateway", route.gateway.filter(|_| wanted.gateway.is_none()))
        .with_some("dev", route.dev.clone().filter(|_| wanted.dev.is_none()))
        .with_some("table", unless(table, &route.table))
        .with_some("protocol", unless(details || route.protocol != "boot", &route.protocol))
        .with_some("scope", unless(details || route.scope != "global", &route.scope))
        .with_some("prefsrc", route.source)
        .with_some("metric", Some(route.metric).filter(|metric| *metric != 0))
        .with("flags", flags.collect::<Vec<String>>())
        .with_some("metrics", route.mtu.map(mtu))
}

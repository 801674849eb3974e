//! `tapping ip`: links, addresses, routes and neighbours of a running stack, in the format of ip(8).

mod links;
mod neighbours;
mod object;
mod parse;
mod routes;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use object::Json;
use parse::{Asked, What};

use crate::cli::ip::IpArgs;
use crate::control::{Client, client};
use crate::failure::{Failure, Stop, say};

/// How to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Full,
    Brief,
    Oneline,
    Json {
        brief: bool,
        pretty: bool,
    },
}

/// Options in front of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub format: Format,
    /// How often -s was given.
    pub statistics: u8,
    pub details: bool,
    pub ipv4: bool,
}

/// Lists what was asked for.
pub fn run(args: &IpArgs) -> Result<u8, Stop> {
    let Some(Asked { options, stack, what }) = parse::parse(args)? else {
        io::stdout().write_all(parse::HELP.as_bytes())?;
        return Ok(0);
    };
    let Some(mut client) = client::find(stack.as_deref())? else { return Ok(1) };
    if let Some(missing) = missing_device(&mut client, what.dev()) {
        say(missing);
        return Ok(1);
    }
    client::answered(show(&mut client, &what, &options))
}

/// What to say about a device that there is not.
fn missing_device(client: &mut Client, dev: Option<&str>) -> Option<Failure> {
    let dev = dev?;
    match client.links() {
        Ok(links) if links.iter().any(|link| link.name == dev) => None,
        Ok(_) => Some(Failure(format!("Device \"{dev}\" does not exist."))),
        Err(failure) => Some(failure),
    }
}

fn show(client: &mut Client, what: &What, options: &Options) -> Result<(), Stop> {
    let json = matches!(options.format, Format::Json { .. });
    let mut out = io::stdout().lock();
    match what {
        What::Links(wanted) => {
            let found = client.links()?;
            match json {
                true => write_json(&mut out, &links::json(&found, wanted, options), options)?,
                false => out.write_all(links::text(&found, wanted, options).as_bytes())?,
            }
        }
        What::Routes(wanted) => {
            let found = client.routes()?;
            match json {
                true => write_json(&mut out, &routes::json(&found, wanted, options), options)?,
                false => out.write_all(routes::text(&found, wanted, options).as_bytes())?,
            }
        }
        What::Neighbours(wanted) => {
            let found = client.neighbours()?;
            match json {
                true => write_json(&mut out, &neighbours::json(&found, wanted, options), options)?,
                false => out.write_all(neighbours::text(&found, wanted, options).as_bytes())?,
            }
        }
    }
    Ok(())
}

fn write_json(out: &mut impl Write, json: &Json, options: &Options) -> io::Result<()> {
    let pretty = matches!(options.format, Format::Json { pretty: true, .. });
    let text =
        if pretty { serde_json::to_string_pretty(json) } else { serde_json::to_string(json) };
    writeln!(out, "{}", text?)
}

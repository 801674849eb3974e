//! A TLS echo with `rustls`, which takes blocking sockets as they are.
//!
//! ```sh
//! cargo run -p tapping-drivers --example tls_echo
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use tapping_drivers::blocking::{TcpListener, TcpStream};
use tapping_drivers::device::DeviceConfig;
use tapping_drivers::net::Net;
use tapping_drivers::veth;
use tapping_stack::wire::ethernet::MacAddr;

type BoxError = Box<dyn Error + Send + Sync>;

/// What both sides agree on: a certificate that was made just now.
fn configs() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), BoxError> {
    let made = rcgen::generate_simple_self_signed(["echo.example".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}

pub fn main() -> Result<(), BoxError> {
    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(end(1), end(2))?;
    let client = Net::builder().device(a).address("10.0.0.1/24".parse()?).start()?;
    let server = Net::builder().device(b).address("10.0.0.2/24".parse()?).start()?;
    let (server_config, client_config) = configs()?;

    let listener = TcpListener::bind(&server, "10.0.0.2:443")?;
    let echoing = thread::spawn(move || -> Result<(), BoxError> {
        let (stream, _) = listener.accept()?;
        let mut tls = StreamOwned::new(ServerConnection::new(server_config)?, stream);
        let mut buffer = [0; 1024];
        while let len @ 1.. = tls.read(&mut buffer)? {
            tls.write_all(&buffer[..len])?;
        }
        Ok(())
    });

    let name = ServerName::try_from("echo.example")?;
    let stream = TcpStream::connect(&client, "10.0.0.2:443")?;
    let mut tls = StreamOwned::new(ClientConnection::new(client_config, name)?, stream);
    let secret = "between these two stacks".repeat(1000);
    tls.write_all(secret.as_bytes())?;
    let mut echo = vec![0; secret.len()];
    tls.read_exact(&mut echo)?;
    assert!(echo == secret.as_bytes());
    tls.conn.send_close_notify();
    tls.flush()?;
    echoing.join().expect("it does not panic")?;
    println!("{} bytes came back, encrypted by {:?}", echo.len(), tls.conn.protocol_version());
    Ok(())
}

//! Two stacks in one process, joined by a virtual pair: one asks, the other answers.
//!
//! ```sh
//! cargo run -p tapping-drivers --example two_stacks
//! ```

use std::error::Error;

use tapping_drivers::aio::{TcpListener, TcpStream};
use tapping_drivers::device::DeviceConfig;
use tapping_drivers::net::{Net, block_on};
use tapping_drivers::veth;
use tapping_stack::wire::ethernet::MacAddr;

pub fn main() -> Result<(), Box<dyn Error>> {
    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(end(1), end(2))?;
    let client = Net::builder().device(a).address("10.0.0.1/24".parse()?).start()?;
    let server = Net::builder().device(b).address("10.0.0.2/24".parse()?).start()?;

    let listener = TcpListener::bind(&server, "10.0.0.2:7".parse()?)?;
    let answering = server.spawn(async move {
        let (stream, peer) = listener.accept().await?;
        let mut question = [0; 9];
        stream.read_exact(&mut question).await?;
        let question = String::from_utf8_lossy(&question);
        stream.write_all(format!("{peer} asks {question}").as_bytes()).await
    });

    let answer = block_on(async {
        let stream = TcpStream::connect(&client, "10.0.0.2:7".parse().expect("an address")).await?;
        stream.write_all(b"who am I?").await?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 64]);
        while let len @ 1.. = stream.read(&mut buffer).await? {
            answer.extend_from_slice(&buffer[..len]);
        }
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    })?;
    answering.join()??;
    println!("{answer}");
    assert!(answer.starts_with("10.0.0.1:") && answer.ends_with("asks who am I?"));
    Ok(())
}

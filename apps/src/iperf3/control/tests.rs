use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::task::Waker;

use super::*;

/// A peer that has said all it will ever say, a few bytes at a time; what is written is kept.
struct Script {
    says: RefCell<VecDeque<u8>>,
    at_once: usize,
    heard: RefCell<Vec<u8>>,
}

impl Wire for Script {
    fn poll_read(&self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut says = self.says.borrow_mut();
        let count = buf.len().min(self.at_once).min(says.len());
        for (byte, said) in buf.iter_mut().zip(says.drain(..count)) {
            *byte = said;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.at_once);
        self.heard.borrow_mut().extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }
}

fn control(says: &[u8]) -> Control<Script> {
    let says = RefCell::new(says.iter().copied().collect());
    Control::new(Script { says, at_once: 3, heard: RefCell::default() })
}

/// Such a peer is never waited for.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn states_cookies_and_messages_in_pieces() {
    let mut says = vec![9];
    says.extend_from_slice(&[b'c'; 36]);
    says.push(0);
    says.extend_from_slice(&[0, 0, 0, 7]);
    says.extend_from_slice(b"{\"a\":1}");
    says.extend_from_slice(&[0xfe, 0, 0, 0, 134, 0, 0, 0, 2, 0xff]);
    let control = control(&says);
    assert_eq!(now(control.state()).unwrap(), State::ParamExchange);
    assert_eq!(now(control.cookie()).unwrap().to_string(), "c".repeat(36));
    assert_eq!(now(control.message(7)).unwrap(), b"{\"a\":1}");
    assert_eq!(now(control.state()).unwrap(), State::ServerError);
    assert_eq!(now(control.server_error()).unwrap(), ServerError { code: 134, errno: 2 });
    assert_eq!(now(control.state()).unwrap(), State::AccessDenied);
    assert!(matches!(now(control.state()), Err(Fault::Closed)));
    now(control.send_state(State::TestEnd)).unwrap();
    now(control.send_message("{}  ")).unwrap();
    assert_eq!(*control.wire().heard.borrow(), b"\x04\0\0\0\x04{}  ");
}

#[test]
fn what_a_length_claims_is_not_believed() {
    let huge = [0xff, 0xff, 0xff, 0xff, b'x'];
    let fault = now(control(&huge).message(8192)).unwrap_err();
    assert!(matches!(fault, Fault::TooLong { length: 0xffff_ffff, max: 8192 }), "{fault}");
    let short = [0, 0, 0x20, 0, b'x'];
    assert!(matches!(now(control(&short).message(8192)), Err(Fault::Closed)));
    for cut in 0..4 {
        assert!(matches!(now(control(&huge[..cut]).message(1)), Err(Fault::Closed)));
    }
    assert!(now(control(&[0; 4]).message(1)).unwrap().is_empty());
}

#[test]
fn a_peer_that_speaks_something_else() {
    let fault = now(control(b"HTTP/1.1 400").state()).unwrap_err();
    assert!(fault.to_string().contains("0x48"), "{fault}");
    let fault = Fault::Parameters("\x1b[2J\n".into());
    assert!(!fault.to_string().contains(['\x1b', '\n']), "one harmless line");
}

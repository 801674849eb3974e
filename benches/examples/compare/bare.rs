//! The least that a program over a TAP does: each frame goes back where it came from. It answers
//! ARP, pings and UDP alike, and so is the limit for everything that answers a frame with a frame.

use tun_tap::{Iface, Mode};

use crate::Failure;

pub fn serve(tap: &str) -> Result<(), Failure> {
    let iface = Iface::without_packet_info(tap, Mode::Tap)?;
    println!("ready");
    let mut frame = vec![0; 65_536];
    loop {
        let len = iface.recv(&mut frame)?;
        if !answer(&mut frame[..len]) {
            continue;
        }
        // What the interface has no room for is lost, as on any wire.
        let _ = iface.send(&frame[..len]);
    }
}

/// Makes the frame its own answer; sums stay right, since what is swapped is summed alike.
fn answer(frame: &mut [u8]) -> bool {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    if frame.len() < 42 {
        return false;
    }
    frame.copy_within(6..12, 0);
    frame[6..12].copy_from_slice(&MAC);
    match [frame[12], frame[13]] {
        // ARP: a reply by the target, whose hardware address is ours.
        [0x08, 0x06] if frame[21] == 1 => {
            let mut target = [0; 4];
            target.copy_from_slice(&frame[38..42]);
            frame.copy_within(22..32, 32);
            frame[21] = 2;
            frame[22..28].copy_from_slice(&MAC);
            frame[28..32].copy_from_slice(&target);
            true
        }
        [0x08, 0x00] => {
            swap(frame, 26, 30, 4);
            match frame[23] {
                // An echo request becomes a reply: type 8 to 0, and the sum grows by as much.
                1 if frame[34] == 8 => {
                    frame[34] = 0;
                    let sum = u16::from_be_bytes([frame[36], frame[37]]);
                    let (sum, carry) = sum.overflowing_add(0x0800);
                    let sum = (sum + u16::from(carry)).to_be_bytes();
                    frame[36..38].copy_from_slice(&sum);
                    true
                }
                17 => {
                    swap(frame, 34, 36, 2);
                    true
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn swap(frame: &mut [u8], a: usize, b: usize, len: usize) {
    let (before, after) = frame.split_at_mut(b);
    before[a..a + len].swap_with_slice(&mut after[..len]);
}

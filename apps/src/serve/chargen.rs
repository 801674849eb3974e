//! The character generator (RFC 864).

use std::io;

use tapping_drivers::aio::TcpStream;

/// The characters that ASCII prints.
const PRINTING: usize = 95;
/// Characters in a line, without its end.
const LINE: usize = 72;
/// Bytes until the pattern begins anew.
const PERIOD: usize = PRINTING * (LINE + 2);

/// All lines, each of which begins one character later than the one before.
static PATTERN: [u8; PERIOD] = pattern();

const fn pattern() -> [u8; PERIOD] {
    let mut pattern = [0; PERIOD];
    let mut at = 0;
    while at < PERIOD {
        let (line, column) = (at / (LINE + 2), at % (LINE + 2));
        pattern[at] = match column {
            LINE => b'\r',
            column if column > LINE => b'\n',
            column => b' ' + ((line + column) % PRINTING) as u8,
        };
        at += 1;
    }
    pattern
}

/// Sends lines until nobody takes them any more, and throws away what comes.
pub async fn tcp(stream: TcpStream) -> io::Result<()> {
    let mut at = 0;
    let mut heard = [0; 512];
    loop {
        let rest = &PATTERN[at..];
        let sent = stream
            .write_with(rest.len(), |room| {
                let len = room.len().min(rest.len());
                room[..len].copy_from_slice(&rest[..len]);
                len
            })
            .await?;
        at = (at + sent) % PERIOD;
        while stream.try_read(&mut heard).is_ok_and(|len| len == heard.len()) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_rfc_864() {
        let text = std::str::from_utf8(&PATTERN).unwrap();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), PRINTING);
        assert!(lines.iter().all(|line| line.len() == LINE));
        assert!(lines[0].starts_with(" !\"#$%&'()*+") && lines[1].starts_with("!\"#"));
        assert!(lines[94].starts_with("~ !"));
    }
}

//! Standard input and output of tools whose one thread moves packets: others wait for them.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use async_channel::{Receiver, Sender};

/// Pieces that wait in each direction: enough to go on while the other side is busy.
const PIECES: usize = 4;

/// What is read, in the pieces that it came in.
pub struct Input(Receiver<io::Result<Vec<u8>>>);

impl Input {
    /// Standard input, in pieces of at most `max` bytes.
    ///
    /// # Errors
    /// Those of making a thread.
    pub fn stdin(max: usize) -> io::Result<Self> {
        Input::from(io::stdin(), max)
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        Input(async_channel::bounded(1).1)
    }

    fn from(mut reader: impl Read + Send + 'static, max: usize) -> io::Result<Self> {
        let (sender, receiver) = async_channel::bounded(PIECES);
        thread::Builder::new().name("input".into()).spawn(move || {
            let mut buffer = vec![0; max];
            loop {
                let piece = match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(len) => Ok(buffer[..len].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if sender.send_blocking(piece).is_err() || failed {
                    break;
                }
            }
        })?;
        Ok(Input(receiver))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Those of read(2).
    pub async fn next(&self) -> io::Result<Option<Vec<u8>>> {
        self.0.recv().await.ok().transpose()
    }
}

/// Somewhere to write.
pub struct Output {
    pieces: Sender<Vec<u8>>,
    /// Closed when all is written.
    written: Receiver<Infallible>,
    error: Arc<Mutex<Option<io::Error>>>,
}

impl Output {
    /// Standard output.
    ///
    /// # Errors
    /// Those of making a thread.
    pub fn stdout() -> io::Result<Self> {
        Output::to(io::stdout())
    }

    /// To `writer`, which is flushed whenever nothing waits.
    ///
    /// # Errors
    /// Those of making a thread.
    pub fn to(mut writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (pieces, receiver) = async_channel::bounded::<Vec<u8>>(PIECES);
        let (still, written) = async_channel::bounded::<Infallible>(1);
        let error = Arc::new(Mutex::new(None));
        let told = Arc::clone(&error);
        thread::Builder::new().name("output".into()).spawn(move || {
            let mut write = || {
                while let Ok(piece) = receiver.recv_blocking() {
                    writer.write_all(&piece)?;
                    if receiver.is_empty() {
                        writer.flush()?;
                    }
                }
                Ok(())
            };
            if let Err(error) = write() {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            // In this order: whoever learns of the end finds the error.
            drop((receiver, still));
        })?;
        Ok(Output { pieces, written, error })
    }

    /// Writes a piece, once there is room for it.
    ///
    /// # Errors
    /// Those of write(2) of a piece before.
    pub async fn write(&self, piece: Vec<u8>) -> io::Result<()> {
        match self.pieces.send(piece).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failed().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Those of write(2).
    pub async fn finish(self) -> io::Result<()> {
        self.pieces.close();
        // Nothing is ever sent: this is the end of who could.
        let _ = self.written.recv().await;
        self.failed().map_or(Ok(()), Err)
    }

    fn failed(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn what_is_read_comes_in_order_and_ends() {
        let text: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let input = Input::from(io::Cursor::new(text.clone()), 1000).unwrap();
        let mut read = Vec::new();
        while let Some(piece) = block_on(input.next()).unwrap() {
            assert!(piece.len() <= 1000);
            read.extend(piece);
        }
        assert_eq!(read, text);
        assert!(block_on(Input::nothing().next()).unwrap().is_none());
    }

    #[test]
    fn what_is_written_is_all_there_at_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            io::BufReader::new(reader).read_to_string(&mut text).map(|_| text)
        });
        let output = Output::to(writer).unwrap();
        for n in 0..1000 {
            block_on(output.write(format!("{n}\n").into_bytes())).unwrap();
        }
        block_on(output.finish()).unwrap();
        let text = reading.join().unwrap().unwrap();
        assert_eq!(text, (0..1000).map(|n| format!("{n}\n")).collect::<String>());
    }

    #[test]
    fn an_error_is_told() {
        let output = Output::to(std::fs::File::create("/dev/full").unwrap()).unwrap();
        block_on(output.write(vec![0; 10])).unwrap();
        let error = block_on(output.finish()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

//! From a writer in one thread to a reader in another. The reader sees the end only when the
//! writer has said that it is one: whoever merely stops has been cut off.

use std::{
    io::{self, Read, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};
use zeroize::Zeroizing;

/// Pieces under way; as large as what is written at once.
const PIECES: usize = 16;

enum Piece {
    Bytes(Zeroizing<Vec<u8>>),
    End,
}

/// Where plaintext goes in.
pub(super) struct Inlet(SyncSender<Piece>);

/// Where it comes out.
pub(super) struct Outlet {
    from: Receiver<Piece>,
    piece: Zeroizing<Vec<u8>>,
    at: usize,
    ended: bool,
}

pub(super) fn pipe() -> (Inlet, Outlet) {
    let (to, from) = sync_channel(PIECES);
    (Inlet(to), Outlet { from, piece: Zeroizing::default(), at: 0, ended: false })
}

impl Inlet {
    /// All has been written.
    pub(super) fn end(self) -> io::Result<()> {
        self.0.send(Piece::End).map_err(|_| gone())
    }
}

impl Write for Inlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Piece::Bytes(Zeroizing::new(bytes.to_vec()));
        self.0.send(piece).map_err(|_| gone())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Outlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.ended {
            match self.from.recv() {
                Ok(Piece::Bytes(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Piece::End) => self.ended = true,
                Err(_) => {
                    let text = "the plaintext was cut off";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
            }
        }
        let rest = &self.piece[self.at..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.at += n;
        Ok(n)
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the plaintext any more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_goes_in_comes_out_and_ends_when_said() {
        let (mut inlet, mut outlet) = pipe();
        let writer = thread::spawn(move || {
            for i in 0..100_u8 {
                inlet.write_all(&vec![i; 1000]).unwrap();
                inlet.write_all(&[]).unwrap();
            }
            inlet.end().unwrap();
        });
        let mut all = Vec::new();
        outlet.read_to_end(&mut all).unwrap();
        writer.join().unwrap();
        assert_eq!(all.len(), 100_000);
        assert!(all.iter().enumerate().all(|(i, b)| usize::from(*b) == i / 1000));
    }

    #[test]
    fn whoever_stops_without_saying_so_has_cut_it_off() {
        let (mut inlet, mut outlet) = pipe();
        inlet.write_all(b"some").unwrap();
        drop(inlet);
        let mut all = Vec::new();
        let error = outlet.read_to_end(&mut all).unwrap_err();
        assert_eq!((error.kind(), &all[..]), (io::ErrorKind::UnexpectedEof, &b"some"[..]));
    }

    #[test]
    fn a_writer_learns_that_nobody_reads() {
        let (mut inlet, outlet) = pipe();
        drop(outlet);
        assert_eq!(inlet.write(b"some").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

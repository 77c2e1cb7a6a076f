//! Streams of any size in constant memory: one thread reads, one works, one writes.
//!
//! Chunks travel in blocks, so that threads wake seldom; blocks are recycled, so that
//! nothing is allocated after the first few.

use crate::error::Error;
use quorate_crypto::stream::{CHUNK_LEN, TAG_LEN};
use std::{
    io::{self, Read, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};
use zeroize::Zeroizing;

/// Chunks in a block: 1 MiB.
const BLOCK: usize = 16;
/// Blocks under way. With [`BLOCK`] this bounds the memory: 6 MiB.
const BLOCKS: usize = 6;

/// Up to [`BLOCK`] chunks. They hold plaintext before sealing and after opening: wiped.
struct Block {
    chunks: Vec<Zeroizing<Vec<u8>>>,
    used: usize,
    last: bool,
}

impl Block {
    fn new() -> Self {
        let chunk = || Zeroizing::new(Vec::with_capacity(CHUNK_LEN + TAG_LEN));
        Self { chunks: (0..BLOCK).map(|_| chunk()).collect(), used: 0, last: false }
    }
}

/// Cuts `reader` into chunks of `chunk_len`, has `work` change each, and writes them. The
/// last chunk is the one that nothing follows; an empty input is one empty last chunk.
/// Gives the number of bytes read. Nothing of a block is written in which `work` fails.
pub(crate) fn pump(
    reader: impl Read + Send,
    writer: &mut (impl Write + Send),
    chunk_len: usize,
    mut work: impl FnMut(&mut Vec<u8>, bool) -> Result<(), Error>,
) -> Result<u64, Error> {
    let (read_in, read_out) = sync_channel::<io::Result<Block>>(BLOCKS);
    let (write_in, write_out) = sync_channel::<Block>(BLOCKS);
    let (free_in, free_out) = sync_channel::<Block>(BLOCKS);
    for _ in 0..BLOCKS {
        let _ = free_in.send(Block::new()); // the receiver is in scope
    }
    thread::scope(|scope| {
        let reading = scope.spawn(move || read_blocks(reader, chunk_len, &free_out, &read_in));
        let writing = scope.spawn(move || write_blocks(writer, &write_out, &free_in));
        // Both ends of its channels go when the work ends, so that both threads end.
        let worked = work_blocks(&read_out, &write_in, &mut work);
        drop((read_out, write_in));
        let written = writing.join().unwrap_or_else(|_| Err(panicked()));
        let count = reading.join().unwrap_or_default();
        let whole = worked?;
        written.map_err(|error| Error::Io { what: "writing the output", error })?;
        // A reader that panicked is no end of the input.
        if whole { Ok(count) } else { Err(Error::Io { what: "reading the input", error: ended() }) }
    })
}

/// Works on every block; gives whether the last one came.
fn work_blocks(
    incoming: &Receiver<io::Result<Block>>,
    outgoing: &SyncSender<Block>,
    work: &mut impl FnMut(&mut Vec<u8>, bool) -> Result<(), Error>,
) -> Result<bool, Error> {
    for block in incoming {
        let mut block = block.map_err(|error| Error::Io { what: "reading the input", error })?;
        let used = block.used;
        for (i, chunk) in block.chunks[..used].iter_mut().enumerate() {
            work(chunk, block.last && i + 1 == used)?;
        }
        let last = block.last;
        if outgoing.send(block).is_err() || last {
            return Ok(true); // done, or the writer failed and says so
        }
    }
    Ok(false)
}

fn write_blocks(
    writer: &mut impl Write,
    incoming: &Receiver<Block>,
    free: &SyncSender<Block>,
) -> io::Result<()> {
    for block in incoming {
        for chunk in &block.chunks[..block.used] {
            writer.write_all(chunk)?;
        }
        let _ = free.send(block); // the reader may have ended
    }
    writer.flush()
}

/// Reads until the end, or until nobody wants more; gives the bytes read.
fn read_blocks(
    reader: impl Read,
    chunk_len: usize,
    free: &Receiver<Block>,
    outgoing: &SyncSender<io::Result<Block>>,
) -> u64 {
    let mut reader = Ahead::new(reader);
    let mut count = 0;
    while let Ok(mut block) = free.recv() {
        (block.used, block.last) = (0, false);
        while block.used < BLOCK && !block.last {
            let chunk = &mut block.chunks[block.used];
            match reader.fill(chunk, chunk_len) {
                Ok(last) => block.last = last,
                Err(error) => {
                    let _ = outgoing.send(Err(error)); // nobody wants it any more
                    return count;
                }
            }
            count += chunk.len() as u64;
            block.used += 1;
        }
        let last = block.last;
        if outgoing.send(Ok(block)).is_err() || last {
            return count;
        }
    }
    count
}

/// A reader that knows whether anything follows: one byte ahead.
struct Ahead<R> {
    reader: R,
    next: Option<u8>,
    begun: bool,
}

impl<R: Read> Ahead<R> {
    fn new(reader: R) -> Self {
        Self { reader, next: None, begun: false }
    }

    /// Fills a chunk; gives whether it is the last.
    fn fill(&mut self, chunk: &mut Vec<u8>, chunk_len: usize) -> io::Result<bool> {
        if !self.begun {
            self.begun = true;
            self.next = self.byte()?;
        }
        chunk.resize(chunk_len, 0);
        let mut filled = 0;
        if let Some(byte) = self.next.take() {
            chunk[0] = byte;
            filled = 1;
        }
        if filled == 1 {
            filled += read_full(&mut self.reader, &mut chunk[1..])?;
        }
        chunk.truncate(filled);
        if filled == chunk_len {
            self.next = self.byte()?;
        }
        Ok(self.next.is_none())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((read_full(&mut self.reader, &mut byte)? == 1).then_some(byte[0]))
    }
}

/// Reads until `buffer` is full or the input ends.
pub(crate) fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn ended() -> io::Error {
    io::Error::other("the reader panicked")
}

fn panicked() -> io::Error {
    io::Error::other("the writer panicked")
}

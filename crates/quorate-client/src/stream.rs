//! Streams of any size in constant memory: one thread reads, one works, one writes.
//!
//! Chunks travel in blocks, so that threads wake seldom and the system is called once for
//! many chunks; blocks are recycled, so that nothing is allocated after the first few.

use crate::error::Error;
use quorate_crypto::stream::{CHUNK_LEN, TAG_LEN};
use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
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

    /// Fills chunks until all are full or the input ends or fails; gives the bytes read.
    fn fill(&mut self, reader: &mut impl Read, chunk_len: usize) -> (usize, Option<io::Error>) {
        self.chunks.iter_mut().for_each(|chunk| chunk.resize(chunk_len, 0));
        self.last = false;
        let (mut filled, mut failed) = (0, None);
        let mut slices: Vec<_> = self.chunks.iter_mut().map(|c| IoSliceMut::new(c)).collect();
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            match reader.read_vectored(slices) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    IoSliceMut::advance_slices(&mut slices, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        // An empty input is one empty chunk.
        self.used = filled.div_ceil(chunk_len).max(1);
        self.chunks[self.used - 1].truncate(filled - (self.used - 1) * chunk_len);
        (filled, failed)
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
        let chunks = &block.chunks[..block.used];
        write_full(writer, &mut chunks.iter().map(|c| IoSlice::new(c)).collect::<Vec<_>>())?;
        let _ = free.send(block); // the reader may have ended
    }
    writer.flush()
}

/// Reads until the end, or until nobody wants more; gives the bytes read.
///
/// Whether a full block is the last one shows when nothing follows: it waits for the next.
fn read_blocks(
    mut reader: impl Read,
    chunk_len: usize,
    free: &Receiver<Block>,
    outgoing: &SyncSender<io::Result<Block>>,
) -> u64 {
    let (mut count, mut full) = (0, None);
    while let Ok(mut block) = free.recv() {
        let (got, failed) = block.fill(&mut reader, chunk_len);
        count += got as u64;
        if failed.is_none() && got == 0 {
            // Nothing follows; an empty input is one empty chunk.
            let mut last: Block = full.unwrap_or(block);
            last.last = true;
            let _ = outgoing.send(Ok(last)); // nobody may want it any more
            return count;
        }
        if full.take().is_some_and(|before| outgoing.send(Ok(before)).is_err()) {
            return count;
        }
        if let Some(error) = failed {
            let _ = outgoing.send(Err(error));
            return count;
        }
        if got < BLOCK * chunk_len {
            block.last = true;
            let _ = outgoing.send(Ok(block));
            return count;
        }
        full = Some(block);
    }
    count
}

/// Writes all of it.
fn write_full(writer: &mut impl Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0); // without those that are empty
    while !slices.is_empty() {
        match writer.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut slices, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
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

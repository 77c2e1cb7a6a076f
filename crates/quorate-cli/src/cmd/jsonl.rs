//! JSON Lines: many items in one run, up to 1,024 of them in one request.
//!
//! Each line of the input is an object; `id`, of any form, comes back with the result. Each line
//! of the output is the result of the line of the same number, or its `error`.

use super::crypt::Output;
use crate::failure::Failure;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use zeroize::{Zeroize, Zeroizing};

/// Items in one request.
const MOST_ITEMS: usize = 1024;
/// The longest line.
const MAX_LINE: u64 = 16 * 1024 * 1024;
/// What is read before it is worked on; so memory stays bounded whatever comes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one line's field, or what is wrong with the line.
pub(super) type Item = Zeroizing<Vec<u8>>;

/// What is made of one line: fields of the answer.
pub(super) type Made = Result<Map<String, Value>, Failure>;

/// Fields of an answer with one of them: bytes, in base64.
pub(super) fn bytes_field(name: &str, bytes: &[u8]) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), Value::String(STANDARD.encode(bytes)))])
}

/// A field of a line: its name, and what else it may be called.
#[derive(Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    also: Option<Also>,
}

#[derive(Clone, Copy)]
struct Also {
    name: &'static str,
    /// What may stand beside it then, and is passed over.
    beside: &'static str,
}

/// What opens: `encrypt` calls it a ciphertext, and `datakey` what it wrapped, beside the same in
/// the clear.
pub(super) const SEALED: Field =
    Field { name: "ciphertext", also: Some(Also { name: "wrapped", beside: "plaintext" }) };

impl From<&'static str> for Field {
    fn from(name: &'static str) -> Self {
        Self { name, also: None }
    }
}

impl Field {
    /// Takes it out of a line. With both of its names one is left over, and means nothing.
    fn take(self, line: &mut Map<String, Value>) -> Option<Zeroizing<String>> {
        let value = match (line.remove(self.name), self.also) {
            (None, Some(Also { name, beside })) => {
                let value = line.remove(name);
                if value.is_some()
                    && let Some(Value::String(mut clear)) = line.remove(beside)
                {
                    clear.zeroize();
                }
                value
            }
            (value, _) => value,
        };
        match value {
            Some(Value::String(text)) => Some(Zeroizing::new(text)),
            _ => None,
        }
    }
}

/// Reads lines, has `work` make something of the `fields` of up to 1,024 at a time, and writes a
/// line for each. What is wrong with one line stands in its place; what concerns all of a
/// request ends the run, and the lines before stand.
///
/// # Errors
/// When lines failed, with the exit code of the first; and what concerned all of a request.
pub(super) async fn run<const N: usize>(
    input: impl Read,
    mut output: Output,
    fields: [impl Into<Field>; N],
    work: impl AsyncFnMut(Vec<[Item; N]>) -> Result<Vec<Made>, Failure>,
) -> Result<(), Failure> {
    let (failed, of) = each(input, &mut output, fields, work).await?;
    // One bad line takes the others with it no more in a file than on stdout.
    output.keep()?;
    failed.end(of)
}

async fn each<const N: usize>(
    input: impl Read,
    output: &mut impl Write,
    fields: [impl Into<Field>; N],
    mut work: impl AsyncFnMut(Vec<[Item; N]>) -> Result<Vec<Made>, Failure>,
) -> Result<(Failed, u64), Failure> {
    let fields = fields.map(Into::into);
    let mut lines = Lines { from: BufReader::new(input), number: 0 };
    let mut failed = Failed::default();
    loop {
        let (mut ids, mut items, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        while ids.len() < MOST_ITEMS && bytes < MAX_BYTES {
            let Some(line) = lines.next()? else { break };
            bytes += line.len();
            let (id, item) = parse(&line, fields);
            ids.push(id);
            match item {
                Ok(item) => {
                    items.push(item);
                    wrong.push(None);
                }
                Err(failure) => wrong.push(Some(failure)),
            }
        }
        if ids.is_empty() {
            return Ok((failed, lines.number));
        }
        let from = lines.number - ids.len() as u64 + 1;
        let mut made = if items.is_empty() {
            Vec::new()
        } else {
            work(items).await.map_err(|failure| Failure {
                message: format!("lines from {from} on were not done: {}", failure.message),
                code: failure.code,
            })?
        }
        .into_iter();
        for (id, wrong) in ids.into_iter().zip(wrong) {
            let made = match wrong {
                Some(failure) => Err(failure),
                None => made.next().unwrap_or_else(|| Err(Failure::new("no result"))),
            };
            write(output, id, made, &mut failed)?;
        }
        output.flush().map_err(|e| Failure::io("output", &e))?;
    }
}

/// Writes one line, and wipes its texts: they may be plaintext or keys.
pub(super) fn write_line(
    output: &mut impl Write,
    fields: Map<String, Value>,
) -> Result<(), Failure> {
    let mut fields = Value::Object(fields);
    let mut line = Zeroizing::new(Vec::with_capacity(weight(&fields)));
    let written = serde_json::to_writer(&mut *line, &fields).map_err(Failure::new);
    if let Value::Object(fields) = &mut fields {
        for value in fields.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
    written?;
    line.push(b'\n');
    output.write_all(&line).map_err(|e| Failure::io("output", &e))
}

fn write(
    output: &mut impl Write,
    id: Option<Value>,
    made: Made,
    failed: &mut Failed,
) -> Result<(), Failure> {
    let mut line = Map::new();
    line.extend(id.map(|id| ("id".to_owned(), id)));
    match made {
        Ok(fields) => line.extend(fields),
        Err(failure) => {
            line.insert("error".into(), json!(failure.message));
            line.insert("exit_code".into(), json!(failure.code));
            failed.note(failure.code);
        }
    }
    write_line(output, line)
}

/// Room enough for a line of base64, so that no copy of it is left behind while it grows.
fn weight(fields: &Value) -> usize {
    let texts = fields.as_object().into_iter().flatten();
    64 + texts.map(|(k, v)| 32 + k.len() + v.as_str().map_or(64, str::len)).sum::<usize>()
}

/// Lines that came to nothing.
#[derive(Default)]
struct Failed {
    count: u64,
    code: u8,
}

impl Failed {
    fn note(&mut self, code: u8) {
        if self.count == 0 {
            self.code = code;
        }
        self.count += 1;
    }

    fn end(&self, of: u64) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        let message = format!("{} of {of} lines failed; each says why in its place", self.count);
        Err(Failure { message, code: self.code })
    }
}

struct Lines<R> {
    from: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        loop {
            let mut line = Zeroizing::new(Vec::new());
            let mut limited = (&mut self.from).take(MAX_LINE + 1);
            limited.read_until(b'\n', &mut line).map_err(|e| Failure::io("input", &e))?;
            if line.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            if line.len() as u64 > MAX_LINE {
                let number = self.number;
                return Err(Failure::usage(format!(
                    "line {number} has more than {MAX_LINE} bytes; without --jsonl input of any \
                     size is taken"
                )));
            }
            if line.trim_ascii().is_empty() {
                self.number -= 1;
                continue;
            }
            return Ok(Some(line));
        }
    }
}

/// The id of a line, and its fields.
fn parse<const N: usize>(
    line: &[u8],
    fields: [Field; N],
) -> (Option<Value>, Result<[Item; N], Failure>) {
    let mut object = match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return (None, Err(expected(fields))),
        Err(e) => return (None, Err(Failure::usage(format!("no JSON: {e}")))),
    };
    let id = object.remove("id");
    let mut items = std::array::from_fn(|_| Item::default());
    for (item, field) in items.iter_mut().zip(fields) {
        let Some(text) = field.take(&mut object) else { return (id, Err(expected(fields))) };
        match STANDARD.decode(text.as_bytes()) {
            Ok(bytes) => *item = Zeroizing::new(bytes),
            Err(e) => {
                let what = format!("{} is not base64 (RFC 4648 §4, with padding): {e}", field.name);
                return (id, Err(Failure::usage(what)));
            }
        }
    }
    match object.keys().next() {
        Some(other) => {
            let text = format!("{other} means nothing here; {}", expected(fields).message);
            (id, Err(Failure::usage(text)))
        }
        None => (id, Ok(items)),
    }
}

fn expected<const N: usize>(fields: [Field; N]) -> Failure {
    let said: Vec<_> = fields.iter().map(|f| format!("\"{}\": base64", f.name)).collect();
    Failure::usage(format!("a line is an object {{{}}}, and \"id\" if you like", said.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &str) -> (Vec<Value>, Result<(), Failure>, usize) {
        let (mut out, mut calls) = (Vec::new(), 0);
        let ended = each(input.as_bytes(), &mut out, ["text"], async |items: Vec<[Item; 1]>| {
            calls += 1;
            let one = |[text]: &[Item; 1]| match text.len() {
                0 => Err(Failure::verification("empty")),
                _ => Ok(bytes_field("back", text)),
            };
            Ok(items.iter().map(one).collect())
        })
        .await
        .and_then(|(failed, of)| failed.end(of));
        let out = String::from_utf8(out).unwrap();
        (out.lines().map(|l| serde_json::from_str(l).unwrap()).collect(), ended, calls)
    }

    #[tokio::test]
    async fn results_and_faults_stand_in_their_lines() {
        let input = concat!(
            "{\"id\": 7, \"text\": \"YQ==\"}\n\n",
            "{\"text\": \"\", \"id\": {\"x\": 1}}\n",
            "{\"id\": \"b\", \"text\": \"?\"}\n",
            "{\"id\": \"c\", \"texts\": \"YQ==\"}\n",
            "{\"id\": \"d\", \"text\": \"YQ==\", \"context\": 1}\n",
            "[]\nnonsense\n",
            "{\"text\": \"Yg==\"}",
        );
        let (out, ended, calls) = lines(input).await;
        assert_eq!((out.len(), calls), (8, 1));
        assert_eq!(out[0], json!({"id": 7, "back": "YQ=="}));
        assert_eq!(out[1], json!({"id": {"x": 1}, "error": "empty", "exit_code": 5}));
        assert_eq!(out[7], json!({"back": "Yg=="}));
        for (at, says) in
            [(2, "not base64"), (3, "\"text\": base64"), (4, "context"), (5, "object"), (6, "JSON")]
        {
            let error = out[at]["error"].as_str().unwrap();
            assert!(error.contains(says), "{error}");
            assert_eq!(out[at]["exit_code"], 2);
        }
        let ended = ended.unwrap_err();
        assert_eq!(ended.code, 5);
        assert!(ended.message.starts_with("6 of 8 lines failed"), "{ended}");
    }

    #[tokio::test]
    async fn what_opens_may_be_called_by_either_name_and_not_by_both() {
        let parsed = |line: &str| parse(line.as_bytes(), [SEALED]).1.map(|[item]| item.to_vec());
        assert_eq!(parsed("{\"ciphertext\": \"YQ==\"}").unwrap(), b"a");
        assert_eq!(parsed("{\"wrapped\": \"Yg==\"}").unwrap(), b"b");
        let both = parsed("{\"wrapped\": \"Yg==\", \"ciphertext\": \"YQ==\"}").unwrap_err();
        assert!(both.message.starts_with("wrapped means nothing here"), "{both}");
        // As `datakey` gives it out, what is in the clear is passed over.
        let clear = "{\"plaintext\": \"YQ==\", \"wrapped\": \"Yg==\"}";
        assert_eq!(parsed(clear).unwrap(), b"b");
        let clear = parsed("{\"plaintext\": \"YQ==\", \"ciphertext\": \"Yg==\"}").unwrap_err();
        assert!(clear.message.starts_with("plaintext means nothing here"), "{clear}");
        let other = parse(b"{\"wrapped\": \"Yg==\"}", ["plaintext".into()]).1;
        assert!(other.is_err());
    }

    #[tokio::test]
    async fn no_request_has_more_items_than_it_may() {
        let input = "{\"text\": \"YQ==\"}\n".repeat(2 * MOST_ITEMS + 1);
        let (out, ended, calls) = lines(&input).await;
        assert_eq!((out.len(), calls), (2 * MOST_ITEMS + 1, 3));
        ended.unwrap();
        let (out, ended, calls) = lines("").await;
        assert_eq!((out.len(), calls), (0, 0));
        ended.unwrap();
    }

    #[tokio::test]
    async fn what_concerns_all_ends_the_run() {
        let input = "{\"text\": \"YQ==\"}\n".repeat(MOST_ITEMS + 1);
        let (mut out, mut calls) = (Vec::new(), 0);
        let ended = each(input.as_bytes(), &mut out, ["text"], async |items: Vec<[Item; 1]>| {
            calls += 1;
            match calls {
                1 => Ok(items.iter().map(|_| Ok(Map::new())).collect()),
                _ => Err(Failure { message: "no quorum".into(), code: 4 }),
            }
        })
        .await
        .map(drop)
        .unwrap_err();
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), MOST_ITEMS);
        assert_eq!(
            (ended.code, &ended.message[..]),
            (4, "lines from 1025 on were not done: no quorum")
        );
    }
}

//! The last verdict for a PLC that polls: a Modbus TCP server, read-only, for the two functions that it takes.
//!
//! | discrete input (function 2) | | input register (function 4) | |
//! |---|---|---|---|
//! | 0 | every model answers | 0 | heartbeat, seconds |
//! | 1 | the last image is anomalous | 1 | images so far |
//! | 2 | drift was found | 2 | p-value x 10,000; 65,535 without a calibration |
//! | | | 3, 4 | score, a 32-bit float, high word first |
//! | | | 5 | milliseconds of the last image |
//!
//! Numbers count on from 65,535 to 0. One answer is of one image: it is made from one look at all values. The protocol knows no login, so
//! that nothing can be written, and other machines reach it only where the options name an address for them. Both functions are a page of
//! code, which is less than a crate for all of the protocol would ask to be trusted with.

use super::Line;
use super::options::ModbusOptions;
use crate::answer::Verdict;
use crate::fault::Fault;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections at once.
const CONNECTIONS: usize = 16;

/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

/// Discrete inputs and input registers that there are.
const INPUTS: usize = 3;
const REGISTERS: usize = 6;

/// What the server is asked about itself as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Whether every model answers.
    pub is_ready: bool,
    /// Whether drift was found.
    pub has_drift: bool,
}

/// Looks at the server: all models, or one.
pub type Look = Arc<dyn Fn(Option<&str>) -> Outlook + Send + Sync>;

/// The last verdict.
pub struct Registers {
    began: Instant,
    model: Option<String>,
    look: Look,
    last: Mutex<Last>,
}

#[derive(Clone, Copy, Default)]
struct Last {
    images: u16,
    is_anomalous: bool,
    p_value: u16,
    score: f32,
    milliseconds: u16,
}

impl Registers {
    /// Nothing seen yet, of one model or of all.
    pub fn new(model: Option<String>, look: Look) -> Self {
        Self { began: Instant::now(), model, look, last: Mutex::default() }
    }

    /// Takes note of an image, if it is one of the model's.
    pub fn note(&self, verdict: &Verdict) {
        if self.model.as_ref().is_some_and(|model| *model != verdict.model) {
            return;
        }
        let took = &verdict.milliseconds;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Last {
            images: last.images.wrapping_add(1),
            is_anomalous: verdict.anomalous == Some(true),
            // Casts stay within the range of the type.
            p_value: verdict.p_value.map_or(u16::MAX, |p_value| (10_000.0 * p_value).round() as u16),
            score: verdict.score,
            milliseconds: (took.queue + took.decode + took.score).round() as u16,
        };
    }

    fn inputs(&self) -> [bool; INPUTS] {
        let Outlook { is_ready, has_drift } = (self.look)(self.model.as_deref());
        [is_ready, self.last.lock().unwrap_or_else(PoisonError::into_inner).is_anomalous, has_drift]
    }

    fn registers(&self) -> [u16; REGISTERS] {
        let Last { images, p_value, score, milliseconds, .. } =
            *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let bits = score.to_bits();
        [
            self.began.elapsed().as_secs() as u16,
            images,
            p_value,
            (bits >> 16) as u16,
            bits as u16,
            milliseconds,
        ]
    }

    /// The answer to a request without its header: the function and what belongs to it.
    fn answer(&self, request: &[u8]) -> Vec<u8> {
        const UNKNOWN_FUNCTION: u8 = 1;
        const NO_SUCH_ADDRESS: u8 = 2;
        const WRONG_VALUE: u8 = 3;
        let function = request.first().copied().unwrap_or(0);
        let refuse = |why: u8| vec![function | 0x80, why];
        let (there, most) = match function {
            2 => (INPUTS, 2000),
            4 => (REGISTERS, 125),
            _ => return refuse(UNKNOWN_FUNCTION),
        };
        let &[_, start_high, start_low, count_high, count_low] = request else { return refuse(WRONG_VALUE) };
        let start = usize::from(u16::from_be_bytes([start_high, start_low]));
        let count = usize::from(u16::from_be_bytes([count_high, count_low]));
        if !(1..=most).contains(&count) {
            return refuse(WRONG_VALUE);
        }
        if start + count > there {
            return refuse(NO_SUCH_ADDRESS);
        }
        let data: Vec<u8> = match function {
            2 => {
                let inputs = self.inputs();
                let bits = inputs[start..start + count].iter().enumerate();
                vec![bits.fold(0, |byte, (at, &bit)| byte | u8::from(bit) << at)]
            }
            _ => self.registers()[start..start + count]
                .iter()
                .flat_map(|register| register.to_be_bytes())
                .collect(),
        };
        [&[function, data.len() as u8], &data[..]].concat()
    }
}

/// Listens.
///
/// # Errors
/// `io` if the address cannot be had.
pub fn listen(options: &ModbusOptions) -> Result<TcpListener, Fault> {
    let address = options.listen;
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| Fault::new("io", format!("cannot listen for Modbus on {address}: {error}")))?;
    match address.ip().is_loopback() {
        true => tracing::info!("Modbus on {address}, read-only"),
        false => tracing::warn!(
            "Modbus on {address}, read-only and without a login: whoever reaches it sees the last verdict"
        ),
    }
    Ok(listener)
}

/// Answers until the end.
pub(super) fn run(line: &Line, listener: TcpListener, registers: &Arc<Registers>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return line.note(Some(format!("Modbus has no thread to answer on: {error}"))),
    };
    runtime.block_on(async {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return line.note(Some(format!("Modbus cannot listen: {error}"))),
        };
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => {
                        // There may be no more files for a moment.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = line.messages.changed() => match line.messages.closes() {
                    Some(_) => return,
                    None => continue,
                },
            };
            if let Ok(permit) = free.clone().try_acquire_owned() {
                let registers = registers.clone();
                tokio::spawn(async move {
                    // A connection that breaks is over.
                    let _ = converse(stream, &registers).await;
                    drop(permit);
                });
            }
        }
    });
}

/// Answers the requests of one connection.
async fn converse(mut stream: TcpStream, registers: &Registers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        // Transaction, protocol (0), length of what follows, unit.
        let mut head = [0; 7];
        tokio::time::timeout(IDLE, stream.read_exact(&mut head)).await??;
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        if head[2..4] != [0, 0] || !(2..=254).contains(&length) {
            return Ok(());
        }
        let mut request = vec![0; length - 1];
        tokio::time::timeout(IDLE, stream.read_exact(&mut request)).await??;
        let answer = registers.answer(&request);
        let length = (answer.len() as u16 + 1).to_be_bytes();
        stream.write_all(&[&head[..4], &length, &head[6..], &answer].concat()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::answered;

    #[test]
    fn answers_are_those_of_the_protocol_by_hand() {
        let look = |_: Option<&str>| Outlook { is_ready: true, has_drift: false };
        let registers = Registers::new(Some("line".into()), Arc::new(look));
        assert_eq!(registers.answer(&[2, 0, 0, 0, 3]), [2, 1, 0b001]);
        let mut verdict = answered("line").verdict;
        verdict.score = 17.5;
        registers.note(&verdict);
        registers.note(&answered("other").verdict);
        assert_eq!(registers.answer(&[2, 0, 0, 0, 3]), [2, 1, 0b011]);
        assert_eq!(registers.answer(&[2, 0, 1, 0, 1]), [2, 1, 1]);
        // One image, p = 0.004, 17.5 = 0x418C0000, 0.1 + 1 + 20 milliseconds.
        assert_eq!(registers.answer(&[4, 0, 1, 0, 5]), [4, 10, 0, 1, 0, 40, 0x41, 0x8c, 0, 0, 0, 21]);
        verdict.p_value = None;
        verdict.milliseconds.score = 1e9;
        registers.note(&verdict);
        assert_eq!(registers.answer(&[4, 0, 2, 0, 1]), [4, 2, 255, 255]);
        assert_eq!(registers.answer(&[4, 0, 5, 0, 1]), [4, 2, 255, 255]);

        for (request, answer) in [
            (&[4, 0, 1, 0, 6][..], [0x84, 2]),
            (&[2, 0, 3, 0, 1], [0x82, 2]),
            (&[4, 255, 255, 0, 1], [0x84, 2]),
            (&[4, 0, 0, 0, 0], [0x84, 3]),
            (&[4, 0, 0, 0, 126], [0x84, 3]),
            (&[4, 0, 0, 0], [0x84, 3]),
            (&[6, 0, 0, 0, 1], [0x86, 1]),
            (&[], [0x80, 1]),
        ] {
            assert_eq!(registers.answer(request), answer, "{request:?}");
        }
    }
}

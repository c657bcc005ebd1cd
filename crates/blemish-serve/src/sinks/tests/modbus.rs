//! The last verdict as a PLC reads it.

use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// pymodbus, which many test their PLCs with, where the Python of `BLEMISH_CLIENTS_PYTHON` (else `python3`) has it.
#[test]
fn a_plc_reads_the_last_verdict() {
    let listen = ("127.0.0.1", free_port());
    let options =
        ModbusOptions { listen: format!("{}:{}", listen.0, listen.1).parse().unwrap(), model: None };
    let (sinks, bus, _) = started(sink(SinkKind::Modbus(options)));
    (1..=3).for_each(|number| say(&bus, number, true));
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A connection that is ended for rubbish may be reset.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    // Two requests on one connection, of different transactions and units.
    let both = [&[0, 7, 0, 0, 0, 6, 1, 4, 0, 1, 0, 4][..], &[0, 8, 0, 0, 0, 6, 2, 2, 0, 0, 0, 3]].concat();
    let first = [0, 7, 0, 0, 0, 11, 1, 4, 8, 0, 3, 0, 40, 0x40, 0x40, 0, 0];
    assert_eq!(ask(&both), [&first[..], &[0, 8, 0, 0, 0, 4, 2, 2, 1, 0b111]].concat());
    // What is no Modbus ends the connection and nothing else.
    for rubbish in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 7], &[0, 1, 0, 0, 255, 255, 1], &[0, 1]] {
        assert!(ask(rubbish).is_empty());
    }
    let python = std::env::var("BLEMISH_CLIENTS_PYTHON").unwrap_or_else(|_| "python3".into());
    match Command::new(&python).args(["-c", "import pymodbus"]).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/modbus.py");
            let output = Command::new(&python)
                .arg(path)
                .arg(format!("{}:{}", listen.0, listen.1))
                .arg("3")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        _ => eprintln!("skipped: `{python}` has no module pymodbus"),
    }
    let began = Instant::now();
    sinks.close(Duration::from_secs(20));
    assert!(began.elapsed() < Duration::from_secs(10), "it does not wait for connections");
}

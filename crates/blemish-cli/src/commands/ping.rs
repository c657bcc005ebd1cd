//! `blemish ping`: whether a server is ready, for health checks of containers.

use crate::args::PingArgs;
use crate::failure::Failure;
use crate::output::print;
use blemish_serve::server::ping;

pub fn run(args: &PingArgs) -> Result<(), Failure> {
    ping(&args.listen, args.tls, args.within)?;
    print("ready")
}

//! `watch`: many viewers by WHEP, measured.

use std::time::Duration;

use super::args::duration;
use super::pace::{Beat, Pace};
use super::publish::stream_urls;
use crate::client::dtls::SrtpChoice;
use crate::client::offer::{ALL_VIDEO, Feedback, VideoCodec};
use crate::client::viewer::ViewerMedia;
use crate::driver::plan::Snapshot;
use crate::driver::{ViewerConfig, Viewers};
use crate::measure::moment::Moment;
use crate::measure::server::ServerUse;
use crate::scenario::values::{Links, Percent, Time};
use crate::scenario::{ArrivalKind, Lossy, SessionSpread, Slow, Stalled, ViewerPart, arrivals};
use crate::stack::{self, Stack};

#[derive(Clone, Debug, clap::Args)]
pub struct WatchArgs {
    /// WHEP endpoint; with --streams, `{n}` in it stands for the stream's number
    #[arg(long)]
    url: String,
    /// Bearer token
    #[arg(long, env = "SHIBUKI_LOADTEST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Number of viewers
    #[arg(long, default_value_t = 1)]
    viewers: usize,
    /// New viewers per second; 0 starts all at once
    #[arg(long, default_value_t = 100.0)]
    ramp_per_second: f64,
    /// How the viewers arrive in that time: even or random
    #[arg(long, value_enum, default_value_t = ArrivalKind::Even)]
    arrival: ArrivalKind,
    /// Mean time a viewer stays; who leaves is replaced
    #[arg(long, value_parser = duration, requires = "duration")]
    session_length: Option<Duration>,
    /// How much these times differ: fixed or exponential
    #[arg(long, value_enum, default_value_t = SessionSpread::Exponential)]
    session_spread: SessionSpread,
    /// Viewers that lose what they get: 30:5 is 5 % lost by 30 % of the viewers
    #[arg(long, value_name = "SHARE:LOSS", value_parser = lossy)]
    lossy: Option<Lossy>,
    /// Viewers that look at their socket only now and then: 10:150ms
    #[arg(long, value_name = "SHARE:TIME", value_parser = slow)]
    slow: Option<Slow>,
    /// Viewers that stop reading some time after they connected: 5:3s
    #[arg(long, value_name = "SHARE:TIME", value_parser = stalled)]
    stalled: Option<Stalled>,
    /// Spread the viewers over this many streams
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Replaces the URL's last part for each stream: `live-{n}`, from 0
    #[arg(long)]
    stream_pattern: Option<String>,
    /// Stop after this time; without it, at Ctrl-C
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// Offered SRTP profiles
    #[arg(long, value_enum, default_value_t = SrtpChoice::Both)]
    srtp: SrtpChoice,
    /// Offered video codecs; all known ones by default
    #[arg(long, value_enum, value_delimiter = ',')]
    video: Vec<VideoCodec>,
    /// Ask for no video
    #[arg(long, conflicts_with = "video")]
    no_video: bool,
    /// Ask for no audio
    #[arg(long)]
    no_audio: bool,
    /// Offer no RTX
    #[arg(long)]
    no_rtx: bool,
    /// What viewers tell the server of their lines: transport-cc (and REMB where the server wants that), remb, none
    #[arg(long, value_enum, default_value_t = Feedback::TransportCc)]
    feedback: Feedback,
    /// The line viewers are on: "500kbit, 100ms, 1% loss, 300ms queue"; given several times, dealt out in turn
    #[arg(long, value_name = "LINE")]
    link: Vec<String>,
    /// Percentage of the viewers that are on such a line
    #[arg(long, requires = "link")]
    link_share: Option<Percent>,
    /// Whose clients: our own, or those of the async webrtc crate as an independent cross-check
    #[arg(long, value_enum, default_value_t = Stack::Own)]
    stack: Stack,
    /// Process of the server, to measure its CPU and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Write the final figures as JSON, those of each viewer included
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

impl WatchArgs {
    fn config(&self) -> anyhow::Result<ViewerConfig> {
        anyhow::ensure!(
            !(self.no_video && self.no_audio),
            "neither video nor audio is left to watch"
        );
        let urls = stream_urls(&self.url, self.stream_pattern.as_deref(), self.streams.max(1));
        let over = match self.ramp_per_second > 0.0 {
            true => Duration::try_from_secs_f64(self.viewers as f64 / self.ramp_per_second)?,
            false => Duration::ZERO,
        };
        let crowd = ViewerPart {
            count: self.viewers,
            arrival: self.arrival,
            over: Time(over),
            session_length: self.session_length.map(Time),
            session_spread: self.session_spread,
            slow: self.slow,
            lossy: self.lossy,
            stalled: self.stalled,
            link: Links::read(&self.link).map_err(anyhow::Error::msg)?,
            link_share: self.link_share,
            ..ViewerPart::default()
        };
        anyhow::ensure!(
            crowd.impaired_share() <= 1.0,
            "the shares of slow, lossy and stalled viewers are more than 100 % together"
        );
        let arrivals = arrivals::viewers(&crowd, self.duration.unwrap_or(Duration::MAX), &urls);
        let video = match (self.no_video, self.video.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => ALL_VIDEO.to_vec(),
            (false, false) => self.video.clone(),
        };
        let media = ViewerMedia {
            video,
            audio: !self.no_audio,
            rtx: !self.no_rtx,
            feedback: self.feedback,
        };
        Ok(ViewerConfig {
            arrivals,
            token: self.token.clone(),
            media,
            srtp: self.srtp,
        })
    }
}

fn lossy(text: &str) -> Result<Lossy, String> {
    let (share, loss) = text.split_once(':').ok_or("SHARE:LOSS, such as 30:5")?;
    Ok(Lossy {
        share: share.parse()?,
        loss: loss.parse()?,
    })
}

fn slow(text: &str) -> Result<Slow, String> {
    let (share, every) = text.split_once(':').ok_or("SHARE:TIME, such as 10:150ms")?;
    Ok(Slow {
        share: share.parse()?,
        every: Time(duration(every)?),
    })
}

fn stalled(text: &str) -> Result<Stalled, String> {
    let (share, after) = text.split_once(':').ok_or("SHARE:TIME, such as 5:3s")?;
    Ok(Stalled {
        share: share.parse()?,
        after: Time(duration(after)?),
    })
}

/// Viewers of either stack.
enum Crowd {
    Own(Viewers),
    Webrtc(stack::watch::Viewers),
}

impl Crowd {
    fn start(args: &WatchArgs) -> anyhow::Result<Self> {
        Ok(match args.stack {
            Stack::Own => Crowd::Own(Viewers::start(args.config()?)?),
            Stack::Webrtc => Crowd::Webrtc(stack::watch::Viewers::start(args.config()?)?),
        })
    }

    fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Ok(match self {
            Crowd::Own(viewers) => viewers.snapshot()?,
            Crowd::Webrtc(viewers) => viewers.snapshot(),
        })
    }
}

pub fn run(args: &WatchArgs) -> anyhow::Result<bool> {
    let idle = args.pid.map(ServerUse::read).transpose()?;
    let viewers = Crowd::start(args)?;
    let take = || Moment::with(viewers.snapshot()?, args.pid).map_err(anyhow::Error::from);
    let start = take()?;
    let mut pace = Pace::start(Duration::from_secs(1), args.duration)?;
    let mut before = start.clone();
    loop {
        let beat = pace.wait();
        let now = take()?;
        let (totals, server) = now.since(&before, idle);
        println!("{}", totals.live_line(server.as_ref()));
        let over = totals.failed == args.viewers && args.viewers > 0;
        if beat == Beat::Over || over {
            return finish(args, idle, &start, &now);
        }
        before = now;
    }
}

/// True when every viewer was served and the result is not our own fault.
fn finish(args: &WatchArgs, idle: Option<ServerUse>, start: &Moment, end: &Moment) -> anyhow::Result<bool> {
    let (totals, server) = end.since(start, idle);
    println!("\n{} s in all", totals.seconds.round());
    print!("{}", totals.table());
    if let Some(server) = &server {
        print!("{}", server.table());
    }
    let objections = totals.own.objections("viewer");
    for objection in &objections {
        eprintln!("INVALID: {objection}");
    }
    if let Some(path) = &args.json {
        let json = serde_json::json!({
            "totals": totals, "server": server, "objections": objections, "viewers": end.snapshot.viewers,
        });
        std::fs::write(path, serde_json::to_vec_pretty(&json)?)?;
    }
    Ok(objections.is_empty() && totals.failed == 0 && totals.connected > 0)
}

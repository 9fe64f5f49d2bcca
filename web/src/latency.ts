import type { Report } from './stats';

/**
 * The delay from the publisher's capture to this screen.
 * - `exact`: the frame itself carries its capture time (abs-capture-time), and the server says how the publisher's
 *   clock stands to its own. As exact as that is known.
 * - `estimate`: the frame's time on the server's clock, by its sender reports, against this clock; what a picture
 *   takes from the camera to the server is not in it.
 * - `floor`: only what is known here: half the round trip, the buffers, decoding. It is at least that.
 */
export interface Latency {
  ms: number;
  kind: 'exact' | 'estimate' | 'floor';
}

/** What `requestVideoFrameCallback` says of a frame; the latter two are there for remote tracks only, or not at all. */
export interface FrameTimes {
  expectedDisplayTime: number;
  receiveTime?: number;
  rtpTimestamp?: number;
}

/** What `getSynchronizationSources` says of the frame that came last. Times are NTP's, ms. */
export interface SourceTimes {
  rtpTimestamp: number;
  captureTimestamp?: number;
  senderCaptureTimeOffset?: number;
}

/** From 1900, where NTP begins, to 1970, ms. */
const NTP_EPOCH = 2_208_988_800_000;
/** A value above, ms, is a clock gone wrong, no delay. */
const ABSURD = 60_000;
/** What the two ways of measuring may differ by, ms, and the longest way from a publisher that is believed. */
const TOLERANCE = 20;
const LONGEST_UPLINK = 3000;

/** Follows one session. Values are smoothed over about a second. */
export class LatencyMeter {
  /** The smallest (arrival here − sending there) of sender reports, ms: the clocks' difference and the shortest way. */
  #path = Number.POSITIVE_INFINITY;
  #lastReport = 0;
  #rtt = 0;
  #value: Latency | null = null;
  #onScreen: number | null = null;
  #estimate: number | null = null;

  get value(): Latency | null {
    return this.#value;
  }

  /** For every frame that is shown. `now`: this machine's wall clock, ms since 1970, when `nowTick` was on the page's. */
  frame(times: FrameTimes, source: SourceTimes | null, now: number, nowTick: number): void {
    const { receiveTime, expectedDisplayTime, rtpTimestamp } = times;
    if (receiveTime !== undefined) {
      const shown = expectedDisplayTime - receiveTime;
      if (shown >= 0 && shown < ABSURD) this.#onScreen = mix(this.#onScreen, shown);
    }
    if (source?.captureTimestamp === undefined || rtpTimestamp === undefined) return;
    // The source is of the newest frame; this one may be some frames older. 90 kHz, and a difference that wraps.
    const later = ((rtpTimestamp - source.rtpTimestamp) | 0) / 90;
    // Capture clock = the server's + offset (abs-capture-time).
    const captured =
      source.captureTimestamp - NTP_EPOCH - (source.senderCaptureTimeOffset ?? 0) + later + this.#skew();
    const ms = now + (expectedDisplayTime - nowTick) - captured;
    // Without a clock that agrees with the server's the capture time says nothing.
    const least = this.#estimate ?? 0;
    if (ms >= least - TOLERANCE && ms <= least + LONGEST_UPLINK) this.#set('exact', ms);
    else if (this.#value?.kind === 'exact') this.#value = null;
  }

  /** With every report of statistics. `now`: this machine's wall clock, ms since 1970. */
  report(report: Report, now: number): void {
    let playout: number | null = null;
    report.forEach((entry) => {
      if (entry.type === 'remote-outbound-rtp') this.#clock(entry);
      if (entry.type === 'candidate-pair' && entry.nominated === true)
        this.#rtt = 1000 * number(entry.currentRoundTripTime);
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') playout = unixTime(entry, now);
    });
    if (playout !== null && Number.isFinite(this.#path)) {
      this.#estimate = mix(this.#estimate, now - playout - this.#skew());
    }
    if (this.#value?.kind === 'exact') return;
    if (this.#estimate !== null) this.#set('estimate', this.#estimate);
    else if (this.#onScreen !== null) this.#set('floor', this.#onScreen + this.#rtt / 2);
  }

  /** By how much this clock is ahead of the server's, ms. */
  #skew(): number {
    return Number.isFinite(this.#path) ? this.#path - this.#rtt / 2 : Number.NaN;
  }

  #clock({ timestamp, remoteTimestamp }: Record<string, unknown>): void {
    const [arrived, sent] = [number(timestamp), number(remoteTimestamp)];
    if (arrived === 0 || sent === 0 || sent === this.#lastReport) return;
    this.#lastReport = sent;
    // Clocks drift by some ten microseconds a second: the smallest may rise by as much.
    this.#path = Math.min(this.#path + 0.1, arrived - sent);
  }

  #set(kind: Latency['kind'], ms: number): void {
    if (!(ms > -20 && ms < ABSURD)) return;
    const before = this.#value?.kind === kind ? this.#value.ms : null;
    this.#value = { kind, ms: Math.max(0, mix(before, ms)) };
  }
}

/** `estimatedPlayoutTimestamp` in ms since 1970: Chromium counts from 1900. */
function unixTime({ estimatedPlayoutTimestamp }: Record<string, unknown>, now: number): number | null {
  const raw = number(estimatedPlayoutTimestamp);
  if (raw === 0) return null;
  const unix = raw > NTP_EPOCH && raw - NTP_EPOCH > now / 2 ? raw - NTP_EPOCH : raw;
  return Math.abs(unix - now) > 365 * 86_400_000 ? null : unix;
}

function mix(before: number | null, now: number): number {
  return before === null || Math.abs(now - before) > 1000 ? now : before + 0.2 * (now - before);
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** How the kinds are called towards people. */
export function latencyWords({ ms, kind }: Latency): string {
  const value = `${Math.round(ms)} ms`;
  return kind === 'exact'
    ? `${value} (exact)`
    : kind === 'estimate'
      ? `${value} (estimate)`
      : `at least ${value}`;
}

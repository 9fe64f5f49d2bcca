import { useEffect, useState } from 'preact/hooks';
import { canShareScreen, type Wish } from '../capture';
import { type PublisherSettings, videoCodecs } from '../whip';
import { codecName } from '../words';

interface Props {
  wish: Wish;
  onWish: (wish: Wish) => void;
  onPreview: () => void;
  previewing: boolean;
  asking: boolean;
  blocked: boolean;
  settings: PublisherSettings;
  onSettings: (settings: PublisherSettings) => void;
  keyValue: string;
  keyRequired: boolean;
  onKey: (key: string) => void;
  sending: boolean;
}

const BITRATES = [500_000, 1_000_000, 2_500_000, 4_000_000, 6_000_000, 10_000_000];
const HEIGHTS = [360, 720, 1080];

export function Settings(props: Props) {
  const { wish, onWish, settings, onSettings } = props;
  const { cameras, microphones } = useDevices(props.previewing);
  const source = (picture: Wish['picture']) => {
    const sound = picture === 'screen' ? 'screen' : wish.sound === 'screen' ? 'microphone' : wish.sound;
    onWish({ ...wish, picture, sound: picture === 'none' ? 'microphone' : sound });
  };
  return (
    <form class="column settings-form" onSubmit={(event) => event.preventDefault()}>
      <fieldset class="choice" disabled={props.blocked}>
        <legend>Picture</legend>
        <Radio
          name="picture"
          label="Camera"
          checked={wish.picture === 'camera'}
          onPick={() => source('camera')}
        />
        <Radio
          name="picture"
          label="Screen"
          checked={wish.picture === 'screen'}
          disabled={!canShareScreen()}
          onPick={() => source('screen')}
        />
        <Radio name="picture" label="None" checked={wish.picture === 'none'} onPick={() => source('none')} />
      </fieldset>
      {wish.picture === 'camera' && cameras.length > 0 && (
        <Select
          label="Camera"
          value={wish.cameraId}
          onPick={(cameraId) => onWish({ ...wish, cameraId })}
          options={[['', 'Browser’s choice'], ...cameras]}
        />
      )}
      <fieldset class="choice" disabled={props.blocked}>
        <legend>Sound</legend>
        <Radio
          name="sound"
          label="Microphone"
          checked={wish.sound === 'microphone'}
          onPick={() => onWish({ ...wish, sound: 'microphone' })}
        />
        {wish.picture === 'screen' && (
          <Radio
            name="sound"
            label="Of the screen"
            checked={wish.sound === 'screen'}
            onPick={() => onWish({ ...wish, sound: 'screen' })}
          />
        )}
        <Radio
          name="sound"
          label="None"
          checked={wish.sound === 'none'}
          disabled={wish.picture === 'none'}
          onPick={() => onWish({ ...wish, sound: 'none' })}
        />
      </fieldset>
      {wish.sound === 'microphone' && microphones.length > 0 && (
        <Select
          label="Microphone"
          value={wish.microphoneId}
          onPick={(microphoneId) => onWish({ ...wish, microphoneId })}
          options={[['', 'Browser’s choice'], ...microphones]}
        />
      )}
      {!props.previewing && (
        <button
          type="button"
          class="button"
          disabled={props.blocked || props.asking}
          onClick={props.onPreview}
        >
          {wish.picture === 'screen'
            ? 'Choose a screen'
            : wish.picture === 'camera'
              ? 'Turn the camera on'
              : 'Turn the microphone on'}
        </button>
      )}
      {wish.picture === 'camera' && (
        <Select
          label="Picture size"
          value={String(wish.height)}
          onPick={(height) => onWish({ ...wish, height: Number(height) })}
          options={HEIGHTS.map((height) => [String(height), `${Math.round((height * 16) / 9)} × ${height}`])}
        />
      )}
      {wish.picture !== 'none' && (
        <>
          <Select
            label="Video codec"
            value={settings.codec}
            onPick={(codec) => onSettings({ ...settings, codec })}
            options={[
              ['', 'Browser’s choice'],
              ...videoCodecs().map((mime): [string, string] => [mime, codecName(mime)]),
            ]}
            hint={
              props.sending
                ? 'A change reconnects: viewers see a short gap.'
                : 'VP8 and H.264 play everywhere; AV1 and VP9 need less bandwidth and more computing.'
            }
          />
          <Select
            label="Video bitrate, at most"
            value={String(settings.maxBitrate)}
            onPick={(maxBitrate) => onSettings({ ...settings, maxBitrate: Number(maxBitrate) })}
            options={BITRATES.map((rate) => [String(rate), `${rate / 1e6} Mbit/s`])}
          />
          <label class="check">
            <input
              type="checkbox"
              checked={settings.simulcast}
              onChange={(event) => onSettings({ ...settings, simulcast: event.currentTarget.checked })}
            />
            <span>
              Smaller pictures too <small>(simulcast)</small>
            </span>
            <small>
              Viewers with a thin link then get a small picture instead of none. It takes more computing here.
            </small>
          </label>
        </>
      )}
      <label class="field">
        <span>
          {props.keyRequired ? 'Key for publishing' : 'Key for publishing (this server asks for none)'}
        </span>
        <input
          id="key"
          type="password"
          autocomplete="off"
          value={props.keyValue}
          disabled={props.sending}
          onInput={(event) => props.onKey(event.currentTarget.value.trim())}
        />
      </label>
    </form>
  );
}

function Radio({
  name,
  label,
  checked,
  disabled = false,
  onPick,
}: {
  name: string;
  label: string;
  checked: boolean;
  disabled?: boolean;
  onPick: () => void;
}) {
  return (
    <label>
      <input type="radio" name={name} checked={checked} disabled={disabled} onChange={onPick} />
      <span>{label}</span>
    </label>
  );
}

function Select({
  label,
  value,
  onPick,
  options,
  hint,
}: {
  label: string;
  value: string;
  onPick: (value: string) => void;
  options: [string, string][];
  hint?: string;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onPick(event.currentTarget.value)}>
        {options.map(([id, text]) => (
          <option key={id} value={id}>
            {text}
          </option>
        ))}
      </select>
      {hint && <small>{hint}</small>}
    </label>
  );
}

/** The devices by [id, label]; browsers name them only after a permission, so they are read anew then. */
function useDevices(permitted: boolean): { cameras: [string, string][]; microphones: [string, string][] } {
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([]);
  useEffect(() => {
    const media = navigator.mediaDevices;
    if (!media?.enumerateDevices) return;
    const read = () => media.enumerateDevices().then(setDevices, () => {});
    read();
    media.addEventListener('devicechange', read);
    return () => media.removeEventListener('devicechange', read);
  }, [permitted]);
  const named = (kind: MediaDeviceKind) =>
    devices
      .filter((device) => device.kind === kind && device.label !== '' && device.deviceId !== '')
      .map(({ deviceId, label }): [string, string] => [deviceId, label]);
  return { cameras: named('videoinput'), microphones: named('audioinput') };
}

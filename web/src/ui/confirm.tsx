import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { asProblem } from '../problem';

/** A button that does what cannot be undone, after asking. */
export function ConfirmButton({
  label,
  question,
  children,
  act,
  danger = true,
}: {
  label: string;
  question: string;
  /** What will happen. */
  children: ComponentChildren;
  act: () => Promise<unknown>;
  danger?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [asked, setAsked] = useState(false);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    if (asked) dialog.current?.showModal();
  }, [asked]);
  const close = () => {
    dialog.current?.close();
    setAsked(false);
    setTrouble(null);
  };
  const doIt = async () => {
    setBusy(true);
    try {
      await act();
      close();
    } catch (error) {
      const { detail, message } = asProblem(error);
      setTrouble(detail || message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" class="button small" onClick={() => setAsked(true)}>
        {label}
      </button>
      {asked && (
        <dialog ref={dialog} onClose={close} aria-label={question}>
          <h2>{question}</h2>
          <p>{children}</p>
          {trouble && (
            <p class="trouble" role="alert">
              It did not work: {trouble}
            </p>
          )}
          <div class="actions">
            <button
              type="button"
              class={danger ? 'button danger' : 'button primary'}
              disabled={busy}
              onClick={() => void doIt()}
            >
              {label}
            </button>
            <button type="button" class="button" onClick={close}>
              Cancel
            </button>
          </div>
        </dialog>
      )}
    </>
  );
}

// Asking again and again: sooner while something happens, later after errors, not at all while nobody looks.

const LONGEST_PAUSE = 60_000;

/**
 * Runs `ask` now and again after each pause that it names (in milliseconds; null ends it). An error doubles the pause. Returns how to end.
 *
 * @param {(signal: AbortSignal) => Promise<number | null>} ask
 * @param {(error: unknown) => void} [failed]
 * @returns {{ stop: () => void, soon: () => void }}
 */
export function poll(ask, failed = () => {}) {
    const ending = new AbortController();
    let failures = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let isAsking = false;
    let isDue = false;

    async function turn() {
        clearTimeout(timer);
        if (ending.signal.aborted) return;
        if (isAsking || document.hidden) {
            isDue = true;
            return;
        }
        isAsking = true;
        isDue = false;
        let pause;
        try {
            pause = await ask(ending.signal);
            failures = 0;
        } catch (error) {
            if (ending.signal.aborted) return;
            failures += 1;
            failed(error);
            pause = Math.min(1000 * 2 ** failures, LONGEST_PAUSE);
        }
        isAsking = false;
        if (pause === null && !isDue) return;
        timer = setTimeout(turn, isDue ? 0 : (pause ?? 0));
    }

    const whenShown = () => {
        if (!document.hidden && isDue) turn();
    };
    document.addEventListener('visibilitychange', whenShown);
    turn();
    return {
        stop() {
            ending.abort();
            clearTimeout(timer);
            document.removeEventListener('visibilitychange', whenShown);
        },
        soon() {
            isDue = true;
            turn();
        },
    };
}

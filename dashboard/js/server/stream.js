// The events of a job as they come. A lost stream is opened again behind the last event that arrived, after a pause that grows; while
// nobody looks there is none, since a browser keeps few connections to one server.

/** @import { JobEvent } from '../types.js' */

const KINDS = [
    'queued',
    'running',
    'stage',
    'reused',
    'progress',
    'task_finished',
    'task_retried',
    'best',
    'judgement_asked',
    'judged',
    'judgement_ended',
    'paused',
    'resumed',
    'succeeded',
    'failed',
    'cancelled',
];
const LAST = ['succeeded', 'failed', 'cancelled'];
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/**
 * @typedef {'connecting' | 'live' | 'lost' | 'ended'} Connection
 */

/**
 * Follows a job from its first event. `heard` gets events in batches, each once and in order.
 *
 * @param {string} job
 * @param {(events: JobEvent[]) => void} heard
 * @param {(connection: Connection) => void} changed
 * @returns {() => void} Ends it.
 */
export function follow(job, heard, changed) {
    /** @type {EventSource | null} */
    let source = null;
    let last = 0;
    let pause = SHORTEST_PAUSE;
    let hasEnded = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {JobEvent[]} */
    let batch = [];

    function deliver() {
        const events = batch;
        batch = [];
        if (events.length > 0) heard(events);
    }

    function close() {
        clearTimeout(timer);
        source?.close();
        source = null;
    }

    function open() {
        close();
        if (hasEnded || document.hidden) return;
        changed(last === 0 ? 'connecting' : 'lost');
        source = new EventSource(`/v1/jobs/${encodeURIComponent(job)}/events?after=${last}`);
        source.onopen = () => {
            pause = SHORTEST_PAUSE;
            changed('live');
        };
        source.onerror = () => {
            // The browser's own reconnection gives up after some answers, so it is not relied on.
            close();
            if (hasEnded) return;
            changed('lost');
            timer = setTimeout(open, pause * (0.75 + Math.random() / 2));
            pause = Math.min(pause * 2, LONGEST_PAUSE);
        };
        for (const kind of KINDS) source.addEventListener(kind, receive);
    }

    /** @param {MessageEvent} message */
    function receive(message) {
        /** @type {JobEvent} */
        const event = JSON.parse(message.data);
        if (event.id <= last) return;
        last = event.id;
        if (batch.length === 0) setTimeout(deliver, 50);
        batch.push(event);
        if (LAST.includes(event.type)) {
            hasEnded = true;
            close();
            changed('ended');
        }
    }

    const whenShown = () => {
        if (hasEnded) return;
        if (document.hidden) close();
        else if (!source) open();
    };
    document.addEventListener('visibilitychange', whenShown);
    open();
    return () => {
        hasEnded = true;
        close();
        document.removeEventListener('visibilitychange', whenShown);
    };
}

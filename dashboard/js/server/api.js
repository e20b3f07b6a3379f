// Requests to the API: JSON in and out, problems as exceptions, uploads with progress.

import { csrfToken, sessionIsOver } from './session.js';

/** @import { ProblemDocument } from '../types.js' */

/** An answer that is an error, or no answer at all. */
export class Problem extends Error {
    /** @param {ProblemDocument} document */
    constructor(document) {
        super(document.detail);
        this.document = document;
    }

    get status() {
        return this.document.status;
    }

    /** Whether the server could not be reached or is not ready, so that it is worth trying again. */
    get isPassing() {
        return (
            this.status === 0 ||
            this.status === 429 ||
            this.status === 502 ||
            this.status === 503 ||
            this.status === 504
        );
    }
}

/** What to say when nobody answers. */
const UNREACHABLE = {
    code: 'unreachable',
    title: 'The server does not answer',
    status: 0,
    detail: 'The server cannot be reached. It may be restarting, or the network may be down.',
};

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, signal) {
    return request('GET', path, undefined, signal);
}

/**
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export function post(path, body) {
    return request('POST', path, body);
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
export function remove(path) {
    return request('DELETE', path);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {AbortSignal} [signal]
 */
async function request(method, path, body, signal) {
    /** @type {Record<string, string>} */
    const headers = { accept: 'application/json' };
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (method !== 'GET' && csrfToken()) headers['x-csrf-token'] = /** @type {string} */ (csrfToken());
    let response;
    try {
        response = await fetch(path, {
            method,
            headers,
            signal,
            body: body === undefined ? undefined : JSON.stringify(body),
        });
    } catch (error) {
        if (signal?.aborted) throw error;
        throw new Problem(UNREACHABLE);
    }
    const text = await response.text().catch(() => '');
    return answerOf(response.status, text, path);
}

/**
 * @param {number} status
 * @param {string} text
 * @param {string} path
 */
function answerOf(status, text, path) {
    if (status >= 200 && status < 300) return text === '' ? null : JSON.parse(text);
    let document;
    try {
        document = JSON.parse(text);
    } catch {
        document = {
            code: 'unknown',
            title: `Error ${status}`,
            status,
            detail: `The server answered with status ${status}.`,
        };
    }
    if (status === 401 && path !== '/v1/session') sessionIsOver();
    throw new Problem(document);
}

/**
 * Sends a file as the body of a request; `progress` hears which share of it is sent.
 *
 * @param {string} path
 * @param {File} file
 * @param {(share: number) => void} progress
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export function upload(path, file, progress, signal) {
    return new Promise((resolve, reject) => {
        // fetch() does not tell how much of a body is sent.
        const sending = new XMLHttpRequest();
        sending.open('POST', path);
        sending.setRequestHeader('content-type', 'application/octet-stream');
        sending.setRequestHeader('accept', 'application/json');
        const token = csrfToken();
        if (token) sending.setRequestHeader('x-csrf-token', token);
        sending.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
        sending.onload = () => {
            try {
                resolve(answerOf(sending.status, sending.responseText, path));
            } catch (problem) {
                reject(problem);
            }
        };
        sending.onerror = () => reject(new Problem(UNREACHABLE));
        sending.onabort = () => reject(new DOMException('The upload was cancelled.', 'AbortError'));
        signal.addEventListener('abort', () => sending.abort());
        sending.send(file);
    });
}

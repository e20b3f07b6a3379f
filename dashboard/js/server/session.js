// Who is signed in. On a server without keys everyone is its administrator and nobody signs in.

/** @import { Session } from '../types.js' */

/** @type {Session | null} */
let session = null;

/** @type {() => void} */
let whenOver = () => {};

/** @returns {Session | null} */
export function current() {
    return session;
}

/** @param {Session | null} next */
export function setCurrent(next) {
    session = next;
}

export function csrfToken() {
    return session?.csrf_token ?? null;
}

/** @param {() => void} listener What to do when the server no longer knows the session. */
export function onSessionOver(listener) {
    whenOver = listener;
}

export function sessionIsOver() {
    session = null;
    whenOver();
}

export function maySubmit() {
    return session?.scope === 'submit' || session?.scope === 'admin';
}

export function isAdministrator() {
    return session?.scope === 'admin';
}

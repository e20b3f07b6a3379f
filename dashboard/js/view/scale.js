// From figures to places on the screen, and the round figures that are written beside.

/** @typedef {ReturnType<typeof scale>} Scale */

/**
 * A scale that all the figures are on, with some room around them.
 *
 * @param {number[]} values
 * @param {number} from Where the least stands.
 * @param {number} to Where the largest stands.
 * @param {number} [room] Of the range, on either side.
 */
export function scale(values, from, to, room = 0.08) {
    let least = Infinity;
    let most = -Infinity;
    for (const value of values) {
        least = Math.min(least, value);
        most = Math.max(most, value);
    }
    const pad = most > least ? (most - least) * room : Math.abs(most) * 0.01 || 0.01;
    const low = least - pad;
    const high = most + pad;
    const marks = ticks(low, high);
    const step = marks.length > 1 ? marks[1] - marks[0] : high - low;
    return {
        least,
        most,
        ticks: marks,
        step,
        /** @param {number} value */
        at: (value) => from + ((value - low) / (high - low)) * (to - from),
        /** With as many digits as tell neighbours apart. @param {number} value */
        text(value) {
            const [size, letter] = sizeOf(Math.max(Math.abs(low), Math.abs(high)));
            return `${(value / size).toFixed(digitsOf(step / size))}${letter}`;
        },
    };
}

/**
 * @param {number} value
 * @returns {[number, string]}
 */
function sizeOf(value) {
    if (value >= 1e12) return [1e12, '\u00a0T'];
    if (value >= 1e9) return [1e9, '\u00a0G'];
    if (value >= 1e6) return [1e6, '\u00a0M'];
    return value >= 1e4 ? [1e3, '\u00a0k'] : [1, ''];
}

/** @param {number} step */
function digitsOf(step) {
    for (let digits = 0; digits < 8; digits += 1) {
        const whole = step * 10 ** digits;
        if (whole > 0.99 && Math.abs(whole - Math.round(whole)) < 1e-6) return digits;
    }
    return 8;
}

/**
 * @param {number} low
 * @param {number} high
 */
function ticks(low, high) {
    const rough = (high - low) / 4;
    const size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= rough) ?? rough;
    const found = [];
    for (let place = Math.ceil(low / step); place * step <= high; place += 1) found.push(place * step);
    return found;
}

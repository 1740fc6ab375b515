/**
 * Bargate's version, as `deno.json` has it too: reading that at every start would take time.
 *
 * @module
 */

/** Of this Bargate. */
export const VERSION = "0.1.0";

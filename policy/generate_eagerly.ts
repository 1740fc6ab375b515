/**
 * For generated modules: lets functions be compiled with their module.
 *
 * The runtime keeps what it compiled of a module when it loads it, for the next start; whatever it
 * compiles later, at a function's first call, it compiles at every start again. A function in
 * parentheses is compiled with its module.
 *
 * @module
 */

/**
 * Puts functions into parentheses. They are then no longer hoisted.
 *
 * @param code of which each function starts a line with `function name(`
 * @param names of the functions
 * @param close the first text after its start that is the end of a function
 * @throws {Error} when a function is not there
 *
 * @example
 * ```ts
 * import { eagerly } from "./generate_eagerly.ts";
 * import assert from "node:assert/strict";
 *
 * const code = "function one() {\n return 1;\n}\nexport { one };\n";
 * assert.equal(eagerly(code, ["one"]), "var one = (function () {\n return 1;\n});\nexport { one };\n");
 * ```
 */
export function eagerly(code: string, names: readonly string[], close = "\n}\n"): string {
  return names.reduce((text, name) => {
    const head = `\nfunction ${name}`;
    const start = `\n${text}`.indexOf(`${head}(`);
    const closing = text.indexOf(close, start);
    if (start < 0 || closing < 0) throw new Error(`Cannot find the function (received ${name})`);
    const end = closing + close.length;
    const rest = text.slice(start + head.length - 1, end - "\n".length);
    return `${text.slice(0, start)}var ${name} = (function ${rest});\n${text.slice(end)}`;
  }, code);
}

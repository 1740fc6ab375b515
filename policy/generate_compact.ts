/**
 * Makes the code that ajv writes for schemas smaller, and so faster to load: most of it prepares for
 * keywords that these schemas do not use. And makes it take the time that many errors are worth.
 *
 * @module
 */

/**
 * Rewrites the code of validators. What they tell is the same, a test compares.
 *
 * @param code as ajv writes it with the options `source`, `esm` and `lines`
 * @throws {Error} when something was written in another way than expected
 */
export function compactValidators(code: string): string {
  const steps = [withoutEvaluated, withPathAlone, withShortPushes, withoutCopies, withoutSchemas];
  return steps.reduce((text, step) => step(text), code);
}

/** Nothing of `pattern` may be left of a step that removes it all. */
function without(code: string, pattern: RegExp): string {
  const left = pattern.exec(code);
  if (left === null) return code;
  throw new Error(`Cannot make the validator smaller: an unknown form (received ${left[0]})`);
}

/** What was looked at matters to `unevaluatedProperties` and `unevaluatedItems` alone. */
function withoutEvaluated(code: string): string {
  const tests = /^const evaluated0 = .*\nif\(.*\n.*\n\}\nif\(.*\n.*\n\}\n/gm;
  const results = /^\w+\.evaluated = \{.*"dynamicProps":false,"dynamicItems":false\};\n/gm;
  return without(code.replaceAll(tests, "").replaceAll(results, ""), /.*evaluated.*/);
}

/** Of what validators are told about the place of a value, only the path is looked at. */
function withPathAlone(code: string): string {
  const head = /\{instancePath="", parentData, parentDataProperty, .*?\}=\{\}\)\{$/gm;
  const call = /\{instancePath:(.*?),parentData:.*?,rootData(?:,dynamicAnchors)?\}/g;
  const short = code.replaceAll(head, 'instancePath = ""){').replaceAll(call, "$1");
  return without(short, /.*(?:parentData|rootData|dynamicAnchors).*/);
}

function withShortPushes(code: string): string {
  const push =
    /^const (err\d+) = ([^]*?);\nif\(vErrors === null\)\{\nvErrors = \[\1\];\n\}\nelse \{\nvErrors\.push\(\1\);\n\}$/gm;
  return without(code.replaceAll(push, "(vErrors ??= []).push($2);"), /.*\berr\d+\b.*/);
}

/** Puts errors behind others. As an argument of a function, many would take more stack than there is. */
const APPENDED =
  "const appended = (errors, more) => {\nfor(const each of more) errors.push(each);\nreturn errors;\n};\n";

/** With a copy of all errors before each one more, many errors would take the square of their time. */
function withoutCopies(code: string): string {
  const short = code.replaceAll(/\bvErrors\.concat\((\w+\.errors)\)/g, "appended(vErrors, $1)");
  return without(short, /.*\.concat\(.*/).replace(/^"use strict";\n/, (head) => head + APPENDED);
}

/** The schemas themselves are there for lists that errors quote, and for the names of properties. */
function withoutSchemas(code: string): string {
  const definition = /^const (schema\d+) = (\{.*\});\n/gm;
  const schemas = new Map(
    [...code.matchAll(definition)].map(([, name = "", text = ""]) => [name, JSON.parse(text)]),
  );
  const quoted = code.replaceAll(definition, "").replaceAll(
    /\b(schema\d+)((?:\.\w+|\[\d+\])+)/g,
    (_, name: string, path: string) => quote(path, valueAt(schemas.get(name), path)),
  );
  return without(quoted, /.*\bschema\d+\b.*/);
}

function valueAt(schema: unknown, path: string): unknown {
  return path.split(/[.[\]]+/).filter((key) => key !== "").reduce(
    (value, key) => Object(value)[key],
    schema,
  );
}

/** Of properties, names are asked for only. */
function quote(path: string, value: unknown): string {
  if (!path.endsWith(".properties")) return JSON.stringify(value);
  return JSON.stringify(Object.fromEntries(Object.keys(Object(value)).map((key) => [key, 0])));
}

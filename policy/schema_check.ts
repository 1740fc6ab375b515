/**
 * Checks a document against the schema and says each violation in the words of policies.
 *
 * @module
 */
import type { Diagnostic } from "./diagnostic.ts";
import type { LineMap } from "./lines.ts";
import { asMapping, type MappingNode, type Node, toPlain } from "./node.ts";
import type { Span } from "./position.ts";
import { diagnostic } from "./report.ts";
import {
  type SchemaError,
  type SchemaValidator,
  validatePolicy,
  validatePolicySet,
  validatePolicyTest,
} from "./schema_validator.js";
import { type DocumentKind, generalPath, SHAPES } from "./shape.ts";
import { addable, Misspelt, suggest, suggestKey } from "./suggest.ts";

/** One violation with everything about its place. */
interface Violation {
  readonly error: SchemaError;
  readonly path: readonly string[];
  /** Path with names and numbers replaced by `*`. */
  readonly general: string;
  readonly node: Node;
  readonly lines: LineMap;
  readonly root: Node;
  readonly kind: DocumentKind;
}

const VALIDATORS: Readonly<Record<DocumentKind, SchemaValidator>> = {
  ExportPolicy: validatePolicy,
  PolicySet: validatePolicySet,
  PolicyTest: validatePolicyTest,
};

/** What came of the check of one document. */
export interface Checked {
  /** What is wrong; the texts of quantities and durations are left to their own parsers. */
  readonly found: readonly Diagnostic[];
  /**
   * The document with what is misspelt as it was meant, so that a mistake which has been told is not
   * told again by what follows from it.
   */
  readonly meant: Node;
  /**
   * Values in `meant` of which `found` says what is wrong, and mappings with a key that nobody knows.
   * No two places share a node, so that an alias is not taken for what is wrong elsewhere.
   */
  readonly faulty: ReadonlySet<Node>;
  /** What there is to say of values that are left to their own parsers, should these say nothing. */
  readonly left: readonly Diagnostic[];
}

/**
 * Checks the shape of one document.
 *
 * @param kind what the document is
 */
export function checkSchema(root: Node, lines: LineMap, kind: DocumentKind): Checked {
  let found: readonly Diagnostic[] = [];
  let meant = root;
  // What stands under a misspelt key is looked at once the key is known, hence the rounds.
  for (;;) {
    const violations = violationsOf(meant, lines, kind);
    if (violations.length === 0) return { found, meant, faulty: new Set(), left: [] };
    const misspelt = new Misspelt();
    const mistakes = violations.filter((violation) => isMisspelt(violation, misspelt));
    meant = misspelt.mended(meant);
    if (mistakes.length === 0) return withRest({ found, meant }, violations);
    found = found.concat(mistakes.flatMap(tell));
  }
}

/** @param violations of which nobody knows what was meant instead */
function withRest(
  { found, meant }: Pick<Checked, "found" | "meant">,
  violations: readonly Violation[],
): Checked {
  const { left = [], told = [] } = Object.groupBy(
    violations,
    (violation) => hasOwnParser(violation) ? "left" : "told",
  );
  const saying = told.map((violation) => ({ violation, says: tell(violation) }));
  const wrong = saying.filter(({ violation: { error }, says }) =>
    says.length > 0 && !LACKS.has(error.keyword)
  );
  return {
    found: found.concat(saying.flatMap(({ says }) => says)),
    meant,
    faulty: new Set(wrong.flatMap(({ violation: { path } }) => nodeAt(meant, path) ?? [])),
    left: left.flatMap(tell),
  };
}

/** What there is may be right all the same. */
const LACKS: ReadonlySet<string> = new Set([
  "required",
  "dependentRequired",
  "anyOf",
  "minProperties",
]);

/** Everything in which the document is not as the schema says. */
function violationsOf(root: Node, lines: LineMap, kind: DocumentKind): readonly Violation[] {
  const validate = VALIDATORS[kind];
  if (validate(toPlain(root))) return [];
  const errors = validate.errors ?? [];
  const mistyped = new Set(errors.filter((e) => e.keyword === "type").map((e) => e.instancePath));
  return errors.flatMap((error) => {
    // An alternative that is not met is told by the choice that holds it.
    if (error.schemaPath.includes("/anyOf/")) return [];
    // What a value of the wrong type also is not, adds nothing.
    if (error.keyword !== "type" && mistyped.has(error.instancePath)) return [];
    const path = pathOf(error.instancePath);
    const node = nodeAt(root, path);
    if (node === undefined) return [];
    return [{ error, path, general: generalPath(path), node, lines, root, kind }];
  });
}

/** Whether it is known what was meant; it is noted then. */
function isMisspelt({ error, general, node, kind }: Violation, misspelt: Misspelt): boolean {
  if (error.keyword === "additionalProperties" && node.kind === "mapping") {
    const key = String(error.params["additionalProperty"]);
    return misspelt.takeKey(node, key, SHAPES[kind].get(general)?.keys ?? []);
  }
  return error.keyword === "enum" && node.kind === "scalar" &&
    misspelt.takeWord(node, allowedBy(error));
}

function allowedBy({ params }: SchemaError): readonly string[] {
  return [params["allowedValues"]].flat().map(String);
}

/** Parts of a JSON Pointer. */
function pathOf(pointer: string): readonly string[] {
  return pointer.split("/").slice(1).map((part) =>
    part.replaceAll("~1", "/").replaceAll("~0", "~")
  );
}

function nodeAt(root: Node, path: readonly string[]): Node | undefined {
  let node: Node | undefined = root;
  for (const part of path) {
    if (node?.kind === "mapping") node = node.entries.get(part)?.value;
    else if (node?.kind === "sequence") node = node.items[Number(part)];
    else return undefined;
  }
  return node;
}

function tell(violation: Violation): readonly Diagnostic[] {
  switch (violation.error.keyword) {
    case "additionalProperties":
      return [unknownKey(violation)];
    case "anyOf":
      return missingRange(violation).map((key) => missingKey(violation, key));
    case "required":
    case "dependentRequired":
      return [missingKey(violation, String(violation.error.params["missingProperty"]))];
    case "type":
      return [wrongType(violation)];
    case "enum":
      return [notAllowed(violation)];
    case "pattern":
      return [wrongForm(violation)];
    case "propertyNames":
      // The pattern that the name breaks is told by itself.
      return [];
    default:
      return [outOfLimits(violation)];
  }
}

/** Where texts are parsed that say what is wrong with them better than a pattern can. */
const PARSED = new RegExp(
  `^/(?:${
    [
      "(?:exports|deny)/\\*/slices/\\*/(?:offset|length)",
      "(?:defaults|exports/\\*)/(?:grace|expires)",
      "devices/\\*/match/barSizes/\\*(?:/\\*)?",
      "cases/\\*/request/(?:offset|length)",
    ].join("|")
  })$`,
);

function hasOwnParser({ general, node }: Violation): boolean {
  return node.kind === "scalar" && PARSED.test(general);
}

/** Where a mapping begins for a reader: the key that holds it, or its first own key. */
function headOf({ node, path, root, lines }: Violation): Span {
  const name = path.at(-1) ?? "";
  const holder = asMapping(nodeAt(root, path.slice(0, -1)))?.entries.get(name);
  if (holder !== undefined && path.length > 0) return lines.spanOf(holder.key);
  const flow = node.kind !== "mapping" || node.flow;
  const first = flow ? undefined : node.entries.values().next().value;
  return lines.spanOf(first?.key ?? node);
}

/** Characters. */
const MOST_SHOWN = 80;

/** Of what was read no more than shows which it is: it may be long, and nobody's to be shown. */
function text(value: unknown): string {
  const long = typeof value === "string" && value.length > MOST_SHOWN;
  return JSON.stringify(long ? `${value.slice(0, MOST_SHOWN)}…` : value);
}

function unknownKey(violation: Violation): Diagnostic {
  const { error, general, node, lines, kind } = violation;
  const key = String(error.params["additionalProperty"]);
  const at = keySpan(asMapping(node), key, violation);
  const shape = SHAPES[kind].get(general);
  const meant = suggestKey(key, addable(asMapping(node), shape?.keys ?? []));
  const place = shape === undefined ? "" : ` in ${shape.name}`;
  const message = `Cannot accept an unknown key${place} (received ${text(key)})`;
  const fix = meant === undefined
    ? `use one of ${shape?.keys.join(", ") ?? "the keys of docs/policy.md"}`
    : `did you mean ${text(meant)}?`;
  return diagnostic("BG1101", lines.spanOf(at), message, { fix });
}

function keySpan(mapping: MappingNode | undefined, key: string, violation: Violation): Node {
  return mapping?.entries.get(key)?.key ?? violation.node;
}

/** The one choice of the language: slices or a region, of a BAR unless the region names it itself. */
function missingRange({ node }: Violation): readonly string[] {
  const has = (key: string) => asMapping(node)?.entries.has(key) ?? false;
  return [has("bar") ? [] : "bar", has("slices") || has("region") ? [] : "slices"].flat();
}

function missingKey(violation: Violation, key: string): Diagnostic {
  const { error, general, kind } = violation;
  const shape = SHAPES[kind].get(general)?.name ?? "this mapping";
  const because = error.keyword === "dependentRequired"
    ? ` beside ${text(error.params["property"])}`
    : "";
  const message = `Cannot accept ${shape} without ${text(key)}${because}`;
  return diagnostic("BG1103", headOf(violation), message, { fix: `add ${text(key)}` });
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text",
  boolean: "true or false",
  array: "a list",
  object: "a mapping (key: value)",
  integer: "a whole number",
};

function wrongType(violation: Violation): Diagnostic {
  const { error, node, lines } = violation;
  const types = [error.params["type"]].flat().map(String);
  const expected = types.map((type) => TYPE_NAMES[type] ?? type).join(" or ");
  const message = `Cannot accept this value: expected ${expected} (received ${describe(node)})`;
  const fix = typeFix(types, node) ?? `write ${expected}`;
  const at = node.kind === "scalar" ? lines.spanOf(node) : headOf(violation);
  return diagnostic("BG1104", at, message, { fix });
}

function describe(node: Node): string {
  if (node.kind === "mapping") return "a mapping";
  if (node.kind === "sequence") return "a list";
  if (node.type === "null") return "nothing";
  return node.type === "string"
    ? text(node.text)
    : `the ${node.type} ${node.text.slice(0, MOST_SHOWN)}`;
}

function typeFix(types: readonly string[], node: Node): string | undefined {
  if (node.kind !== "scalar" || node.type === "null") return undefined;
  if (types.includes("string") && node.plain) {
    return `put it into quotes: ${JSON.stringify(node.text)}`;
  }
  if (types.includes("integer")) {
    const value = /^[0-9]/.test(node.text) ? Number(node.text) : NaN;
    return Number.isSafeInteger(value) ? `write ${value}` : "write a whole number";
  }
  if (types.includes("boolean")) return BOOLEANS[node.text.toLowerCase()];
  return types.includes("array") ? `write it as a list: [${node.text}]` : undefined;
}

/** What is in quotes, and what YAML 1.1 takes for these. */
const BOOLEANS: Readonly<Record<string, string>> = {
  true: "write true",
  false: "write false",
  yes: "write true",
  on: "write true",
  no: "write false",
  off: "write false",
};

function notAllowed({ error, general, node, lines }: Violation): Diagnostic {
  // The schema of each kind knows its own name only.
  const allowed = general === "/kind" ? Object.keys(SHAPES) : allowedBy(error);
  const value = node.kind === "scalar" ? node.text : "";
  const at = lines.spanOf(node);
  const meant = suggest(value, allowed);
  const message = `Cannot accept this value: expected ${allowed.join(" or ")} (received ${
    text(value)
  })`;
  const fix = meant === undefined ? `write ${allowed.join(" or ")}` : `did you mean ${meant}?`;
  return diagnostic("BG1105", at, message, { fix });
}

const FORMS: readonly (readonly [path: RegExp, what: string, form: string])[] = [
  [
    /\/(?:match|device)\/(?:id|subsystem)/,
    "a PCI id",
    'vendor:device in lower-case hexadecimal, as in "144d:a80a"',
  ],
  [
    /\/(?:match|device)\/address/,
    "a PCI address",
    'domain:bus:device.function, lower case, as in "0000:03:00.0"',
  ],
  [
    /\/match\/class/,
    "a PCI class",
    'two, four or six lower-case hexadecimal digits, as in "010802"',
  ],
  [
    /\/match\/serial/,
    "a serial number",
    'eight bytes in lower-case hexadecimal as lspci prints them, as in "00-1b-21-ff-ff-a0-12-34"',
  ],
  [
    /\/match\/driver/,
    "the name of a kernel driver",
    "letters, digits, _ and -, as in vfio-pci",
  ],
  [
    /\/device\/(?:rdma|drm|nvme)/,
    "the name of an RDMA, DRM or NVMe device",
    "letters, digits, _, . and -, as in mlx5_0, renderD128 or nvme0",
  ],
];

const PATHS: Readonly<Record<string, readonly [name: string, example: string]>> = {
  executable: ["executable", "/usr/bin/nvmf_tgt"],
  pidFile: ["pid file", "/run/spdk.pid"],
  cgroup: ["control group", "/system.slice/nvmf.service"],
  socket: ["socket", "/run/spdk/bargate.sock"],
};

function wrongIdentity(key: "unit" | "sha256", value: string, at: Span): Diagnostic {
  if (key === "unit") {
    const message = `Cannot accept the unit: it is no service or scope with its suffix (received ${
      text(value)
    })`;
    const right = /^[A-Za-z0-9:_@-]+$/.test(value) ? { fix: `write ${value}.service` } : {};
    return diagnostic("BG1112", at, message, right);
  }
  const message = `Cannot accept the hash: it is not 64 lower-case hexadecimal digits (received ${
    text(value)
  })`;
  const lower = value.toLowerCase();
  const right = /^[0-9a-f]{64}$/.test(lower) ? { fix: `write ${lower}` } : {};
  return diagnostic("BG1113", at, message, right);
}

function wrongForm(violation: Violation): Diagnostic {
  const { error, general, node, lines } = violation;
  const value = node.kind === "scalar" ? node.text : "";
  if (error.propertyName !== undefined) return wrongKeyName(violation, error.propertyName);
  const key = violation.path.at(-1) ?? "";
  if (key === "path") {
    const message =
      `Cannot accept the path: it is not a plain path below this file's folder (received ${
        text(value)
      })`;
    return diagnostic("BG1110", lines.spanOf(node), message, { fix: "write it as in a/b.yaml" });
  }
  if (key === "diagnostic") {
    const message = `Cannot expect the diagnostic: it is no code of a policy (received ${
      text(value)
    })`;
    return diagnostic("BG1105", lines.spanOf(node), message, {
      fix: "write a code of docs/diagnostics.md",
    });
  }
  const path = PATHS[key];
  if (path !== undefined) {
    const message = `Cannot accept the ${path[0]}: it is not a plain path from the root (received ${
      text(value)
    })`;
    const fix = `write the path from the root, as in ${path[1]}`;
    return diagnostic("BG1110", lines.spanOf(node), message, { fix });
  }
  if (key === "unit" || key === "sha256") return wrongIdentity(key, value, lines.spanOf(node));
  if (/\/(?:identity|owner)\/(?:user|group)$/.test(general)) {
    const message = `Cannot accept the account: it is neither a name nor a decimal id (received ${
      text(value)
    })`;
    return diagnostic("BG1111", lines.spanOf(node), message);
  }
  const form = FORMS.find(([path]) => path.test(general));
  if (form === undefined) return wrongName(value, lines.spanOf(node));
  const [, what, shape] = form;
  const message = `Cannot accept the value: it is not ${what} (received ${text(value)})`;
  return diagnostic("BG1108", lines.spanOf(node), message, { fix: formFix(value, shape, error) });
}

/**
 * The right text is known after the usual mistakes: upper case, no domain, and domains of more zeros
 * than the kernel prints.
 */
function formFix(value: string, shape: string, error: SchemaError): string {
  const pattern = new RegExp(String(error.params["pattern"]));
  const lower = value.toLowerCase();
  const domain = /^[0-9a-f]{2}:[0-9a-f]{2}\./.test(lower) ? `0000:${lower}` : lower;
  const right = [domain, lower.replace(/^0+(?=[0-9a-f]{4,}:)/, "")].find((it) => pattern.test(it));
  return right === undefined ? `write ${shape}` : `write ${text(right)}`;
}

function wrongKeyName({ node, lines }: Violation, name: string): Diagnostic {
  const key = asMapping(node)?.entries.get(name)?.key ?? node;
  return wrongName(name, lines.spanOf(key));
}

function wrongName(name: string, at: Span): Diagnostic {
  const message = `Cannot accept the name: it must match [a-z0-9][a-z0-9._-]{0,62} (received ${
    text(name)
  })`;
  const repaired = name.toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[._-]+/, "").slice(
    0,
    63,
  );
  const fix = repaired === "" ? {} : { fix: `write ${repaired}` };
  return diagnostic("BG1107", at, message, fix);
}

const LIMITS: Readonly<Record<string, (limit: string) => readonly [why: string, fix: string]>> = {
  minItems: (limit) => [`it needs at least ${limit} item`, "add one, or remove the key"],
  maxProperties: (limit) => [`it has more than ${limit} keys`, `keep ${limit} at most`],
  minProperties: (limit) => [`it needs at least ${limit} key`, "add one"],
  minLength: (limit) => [`it needs at least ${limit} character`, "write what it is"],
  maxLength: (limit) => [`it has more than ${limit} characters`, `write ${limit} at most`],
  minimum: (limit) => [`it is less than ${limit}`, `write ${limit} or more`],
  maximum: (limit) => [`it is more than ${limit}`, `write ${limit} or less`],
};

function outOfLimits(violation: Violation): Diagnostic {
  const { error, node, path, lines } = violation;
  const [why, anyFix] = LIMITS[error.keyword]?.(String(error.params["limit"])) ??
    [`it breaks ${error.keyword}`, "see docs/policy.md"];
  const fix = path.at(-1) === "bar" ? "write one of 0 to 5" : anyFix;
  const value = node.kind === "scalar" && error.keyword !== "maxLength"
    ? ` (received ${describe(node)})`
    : "";
  const at = node.kind === "scalar" || isEmptyFlow(node) ? lines.spanOf(node) : headOf(violation);
  return diagnostic("BG1106", at, `Cannot accept this value: ${why}${value}`, { fix });
}

/** `{}` or `[]`: what lacks something is all there is to point at. */
function isEmptyFlow(node: Node): boolean {
  if (node.kind === "sequence") return node.items.length === 0;
  return node.kind === "mapping" && node.flow && node.entries.size === 0;
}

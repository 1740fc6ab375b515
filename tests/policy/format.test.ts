import assert from "node:assert/strict";
import fc from "fast-check";
import { formatPolicy } from "../../policy/format.ts";
import { loadPolicySet } from "../../policy/load.ts";
import { runs } from "../support/runs.ts";

const CORPUS = new URL("../corpus/", import.meta.url);

function corpus(folder: string): readonly (readonly [name: string, text: string])[] {
  const names = [...Deno.readDirSync(new URL(folder, CORPUS))].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".yaml")).sort().map((name) =>
    [name, new TextDecoder().decode(Deno.readFileSync(new URL(folder + name, CORPUS)))] as const
  );
}

function digest(text: string): string | undefined {
  return loadPolicySet([{ file: "a.yaml", text }]).set?.digest;
}

function formatted(text: string): string {
  const result = formatPolicy(text);
  assert.ok(result.ok, result.ok ? "" : result.why);
  return result.text;
}

Deno.test("formatPolicy() leaves the digest of every good policy, and a second time changes nothing", () => {
  for (const [name, text] of corpus("good/")) {
    const once = formatted(text);
    assert.equal(digest(once), digest(text), name);
    assert.ok(digest(once) !== undefined, name);
    assert.equal(formatted(once), once, name);
  }
});

Deno.test("formatPolicy() formats or refuses every bad policy, and mends none", () => {
  let done = 0;
  for (const [name, text] of corpus("bad/")) {
    const result = formatPolicy(text);
    if (!result.ok) continue;
    done += 1;
    assert.equal(formatted(result.text), result.text, name);
    const codes = (of: string) =>
      loadPolicySet([{ file: name, text: of }]).diagnostics.map(({ code }) => code).sort();
    assert.deepEqual(codes(result.text), codes(text), name);
  }
  assert.ok(done > 100);
});

Deno.test("formatPolicy() sorts keys, spaces brackets, and keeps comments, blank lines and spellings", () => {
  const text = `# head
kind:   ExportPolicy
metadata: {name: demo,   description: 'it''s'}   # who

# the version
apiVersion: bargate/v1

exports:
- device: ssd   # which
  name: data
  slices: [ {length: 0x2000, offset: 0} ]
  importers: [ a,b ]
`;
  assert.equal(
    formatted(text),
    `# head

# the version
apiVersion: bargate/v1

kind: ExportPolicy
metadata: { name: demo, description: 'it''s' } # who

exports:
  - name: data
    device: ssd # which
    slices: [{ offset: 0, length: 0x2000 }]
    importers: [a, b]
`,
  );
});

Deno.test("formatPolicy() leaves a file's header on top, and no blank line out", () => {
  const forms: readonly (readonly [string, string])[] = [
    ["# head\nkind: P\napiVersion: v\n", "# head\napiVersion: v\nkind: P\n"],
    ["# head\n\nkind: P\napiVersion: v\n", "# head\n\napiVersion: v\nkind: P\n"],
    ["# head\n\n# k\nkind: P\napiVersion: v\n", "# head\n\napiVersion: v\n# k\nkind: P\n"],
    ["kind: P\n\napiVersion: v\n", "apiVersion: v\n\nkind: P\n"],
  ];
  for (const [text, expected] of forms) assert.equal(formatted(text), expected);
});

Deno.test("formatPolicy() puts no alias before its anchor", () => {
  const text = (match: string) =>
    `kind: ExportPolicy
devices: { ssd: ${match} }
metadata: { name: demo, description: *what }
apiVersion: bargate/v1
`;
  assert.equal(
    formatted(text('{ acquire: open, match: { id: &what "1b36:0010" } }')),
    text('{ match: { id: &what "1b36:0010" }, acquire: open }'),
  );
});

Deno.test("formatPolicy() refuses what it cannot keep", () => {
  for (const text of ["", "a: [", "a: *b", "---\n---\n", "{ a: 1, a: 2 }", "{ a b, c: 1 }"]) {
    assert.equal(formatPolicy(text).ok, false, JSON.stringify(text));
  }
});

/** One policy in many spellings: blanks, comments, order of keys, quotes and number formats. */
const anyBlank = fc.constantFrom("", " ", "  ");
const anyComment = fc.constantFrom("", " # note", "\n# above", "\n\n");
const anyLength = fc.constantFrom("8192", "0x2000", "8KiB", '"8KiB"', "'0x2000'");
const anySpelling = fc.record({
  keys: fc.shuffledSubarray(["name", "device", "bar", "slices", "importers", "grace"], {
    minLength: 6,
  }),
  flow: fc.boolean(),
  blank: anyBlank,
  comments: fc.array(anyComment, { minLength: 8, maxLength: 8 }),
  length: anyLength,
  lineEnd: fc.constantFrom("\n", "\r\n"),
});

function spell(
  { keys, flow, blank, comments, length, lineEnd }: {
    readonly keys: readonly string[];
    readonly flow: boolean;
    readonly blank: string;
    readonly comments: readonly string[];
    readonly length: string;
    readonly lineEnd: string;
  },
): string {
  const values: Readonly<Record<string, string>> = {
    name: "data",
    device: "ssd",
    bar: "2",
    slices: `[${blank}{${blank}length: ${length}, offset: 0${blank}}]`,
    importers: `[${blank}engine${blank}]`,
    grace: "2s",
  };
  const pairs = keys.map((key) => `${key}: ${blank}${values[key]}`);
  const rule = flow
    ? `{${pairs.join(`,${blank} `)}}`
    : pairs.map((pair, index) => `${pair}${comments[index]}`.replaceAll("\n", "\n    ")).join(
      "\n    ",
    );
  return `kind: ExportPolicy${comments[6]}
metadata: { name: demo }
apiVersion: bargate/v1${comments[7]}
importers: { engine: { driver: iommufd, identity: { user: nobody } } }
devices: { ssd: { match: { id: "1b36:0010" } } }
exports:
  - ${rule}
`.replaceAll("\n", lineEnd);
}

Deno.test("formatPolicy() never changes the meaning, and is idempotent, for any spelling", () => {
  const plain = formatted(spell({
    keys: ["name", "device", "bar", "slices", "importers", "grace"],
    flow: false,
    blank: "",
    comments: Array.from({ length: 8 }, () => ""),
    length: "8KiB",
    lineEnd: "\n",
  }));
  fc.assert(
    fc.property(anySpelling, (spelling) => {
      const text = spell(spelling);
      const once = formatted(text);
      assert.equal(digest(once), digest(plain));
      assert.equal(formatted(once), once);
      assert.equal(once.split("#").length, text.split("#").length);
    }),
    { numRuns: runs(300) },
  );
});

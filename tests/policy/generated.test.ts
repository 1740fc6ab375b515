/** Modules that are made by programs: they are fresh, and do what they were made from does. */
import assert from "node:assert/strict";
import { ajvOfSchemas, generateSchemaValidator } from "../../policy/generate_schema_validator.ts";
import { generateYamlEvents } from "../../policy/generate_yaml_events.ts";
import { LineMap } from "../../policy/lines.ts";
import { toPlain } from "../../policy/node.ts";
import {
  type SchemaValidator,
  validatePolicy,
  validatePolicySet,
  validatePolicyTest,
} from "../../policy/schema_validator.js";
import { parseYaml } from "../../policy/yaml.ts";
import policySetSchema from "../../policy/policy_set.schema.json" with { type: "json" };
import policyTestSchema from "../../policy/policy_test.schema.json" with { type: "json" };
import schema from "../../policy/schema.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

Deno.test("policy/schema_validator.js is fresh", () => {
  const message = "run policy/generate_schema_validator.ts";
  assert.equal(read("policy/schema_validator.js"), generateSchemaValidator(), message);
});

Deno.test("policy/yaml_events.js is fresh", async () => {
  const message = "run policy/generate_yaml_events.ts";
  assert.equal(read("policy/yaml_events.js"), await generateYamlEvents(), message);
});

/** Documents of the corpus as plain values. */
function documents(folder: string): readonly unknown[] {
  const names = [...Deno.readDirSync(new URL(folder, ROOT))].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".yaml")).sort().flatMap((name) => {
    const text = new TextDecoder().decode(Deno.readFileSync(new URL(folder + name, ROOT)));
    return parseYaml(text, new LineMap(name, text)).documents.map(toPlain);
  });
}

/** What stands in for any value, one at a time; `undefined` takes it away. */
const ODD = [undefined, null, "", "Odd/key~1", -1, 1.5, true, [], ["x"], {}, { odd: 1 }];

/** The value, and those that it becomes when one place of it holds something else. */
function* variants(value: unknown): Generator<unknown> {
  yield* ODD;
  if (typeof value !== "object" || value === null) return;
  for (const [key, held] of Object.entries(value)) {
    for (const other of variants(held)) {
      const copy = Array.isArray(value) ? [...value] : { ...value };
      Reflect.set(copy, key, other);
      yield copy;
    }
  }
}

Deno.test("policy/schema_validator.js tells what ajv tells, of any value in any place", () => {
  const ajv = ajvOfSchemas();
  const pairs = ([
    [schema.$id, validatePolicy],
    [policySetSchema.$id, validatePolicySet],
    [policyTestSchema.$id, validatePolicyTest],
  ] as const).map(([id, validator]) => [ajv.getSchema(id), validator] as const);
  const compare = (value: unknown): void => {
    for (const [expected, validator] of pairs) {
      assert.ok(expected !== undefined);
      const valid: SchemaValidator = validator;
      assert.equal(valid(value), expected(value));
      assert.deepEqual(valid.errors, expected.errors);
    }
  };
  for (const value of documents("tests/corpus/bad/")) compare(value);
  for (const value of documents("tests/corpus/good/")) {
    compare(value);
    for (const variant of variants(value)) compare(variant);
  }
});

Deno.test("policy/schema_validator.js copies no errors, and takes as many as there are", () => {
  assert.doesNotMatch(generateSchemaValidator(), /\.concat\(/);
  const count = 150_000;
  const devices = Object.fromEntries(Array.from({ length: count }, (_, at) => [`d${at}`, {}]));
  const policy = {
    apiVersion: "bargate/v1",
    kind: "ExportPolicy",
    metadata: { name: "a" },
    devices,
  };
  const validate: SchemaValidator = validatePolicy;
  assert.ok(!validate(policy));
  assert.equal(validate.errors?.length, count);
});

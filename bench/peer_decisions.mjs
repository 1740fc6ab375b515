/**
 * Decisions a second of casbin and cedar-wasm, in Node.js: `node peer_decisions.mjs FOLDER RULES`.
 * A rule allows one importer one slice of one BAR; the request asks for the last rule's slice.
 */
import { createRequire } from "node:module";

const [folder, count] = process.argv.slice(2);
const rules = Number(count);
const require = createRequire(`${folder}/package.json`);
const ROUNDS = 5;
const STEP = 8192;

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function rate(decide) {
  const rates = Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    let decided = 0;
    while (performance.now() - start < 200) {
      if (!decide()) throw new Error("Cannot bench a request that is not allowed");
      decided += 1;
    }
    return decided / (performance.now() - start) * 1000;
  });
  return median(rates);
}

async function casbin() {
  const { newEnforcer, newModelFromString, StringAdapter } = require("casbin");
  const model = newModelFromString(`[request_definition]
r = importer, bar, start, end
[policy_definition]
p = importer, bar, start, end
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.importer == p.importer && r.bar == p.bar && inside(r.start, r.end, p.start, p.end)`);
  const lines = Array.from({ length: rules }, (_, i) => {
    const offset = Math.floor(i / 6) * STEP;
    return `p, engine, bar${i % 6}, ${offset}, ${offset + 4096}`;
  });
  const enforcer = await newEnforcer(model, new StringAdapter(lines.join("\n")));
  enforcer.addFunction("inside", (a, b, c, d) => BigInt(a) >= BigInt(c) && BigInt(b) <= BigInt(d));
  const last = Math.floor((rules - 1) / 6) * STEP;
  const request = ["engine", `bar${(rules - 1) % 6}`, String(last), String(last + 4096)];
  return rate(() => enforcer.enforceSync(...request));
}

function cedar() {
  const { preparsePolicySet, statefulIsAuthorized } = require(
    "@cedar-policy/cedar-wasm/nodejs",
  );
  const policies = Array.from({ length: rules }, (_, i) => {
    const offset = Math.floor(i / 6) * STEP;
    return `permit(principal == Importer::"engine", action == Action::"export", resource == Bar::"${
      i % 6
    }") when { context.start >= ${offset} && context.end <= ${offset + 4096} };`;
  });
  const parsed = preparsePolicySet("bench", { staticPolicies: policies.join("\n") });
  if (parsed.type !== "success") throw new Error(JSON.stringify(parsed));
  const last = Math.floor((rules - 1) / 6) * STEP;
  const call = {
    principal: { type: "Importer", id: "engine" },
    action: { type: "Action", id: "export" },
    resource: { type: "Bar", id: String((rules - 1) % 6) },
    context: { start: last, end: last + 4096 },
    preparsedPolicySetId: "bench",
    entities: [],
  };
  return rate(() => statefulIsAuthorized(call).response.decision === "allow");
}

console.log(JSON.stringify({ casbin: await casbin(), cedar: cedar() }));

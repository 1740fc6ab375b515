/**
 * After a bounce: what is valid again is restored, what is not ends.
 *
 * @module
 */
import { IMPORTER_DRIVERS } from "../../policy/importer_drivers.ts";
import { RefusedError } from "../errors.ts";
import type { After } from "../event.ts";
import type { HeldGrant } from "../held_grant.ts";
import type { DeviceGrants } from "./device_grants.ts";
import type { Enforcement } from "./enforcement.ts";
import type { GrantEnds } from "./grant_ends.ts";
import type { ImporterMappings } from "./importer_mappings.ts";

/** Restores suspended grants of one device. */
export class Restores {
  /**
   * @param grants of the device
   * @param mappings of their buffers
   * @param ends tell what is alive
   * @param enforcement of the end of what is not
   */
  constructor(
    private readonly grants: DeviceGrants,
    private readonly mappings: ImporterMappings,
    private readonly ends: GrantEnds,
    private readonly enforcement: Enforcement,
  ) {}

  /** Within a turn: restores a grant that is suspended, or ends it. */
  async restore(held: HeldGrant): Promise<void> {
    // Its end may have begun meanwhile, or it was renewed with another that is not valid.
    if (held.grant.state !== "suspended") return;
    const liveness = await this.ends.alive(held);
    if (liveness === "revoked" || liveness === undefined) {
      const cause = { source: "probe", detail: "not valid after the bounce" };
      this.grants.begin([held], "device-error", cause);
      await this.enforcement.enforce();
      return;
    }
    const after = await this.#remap(held);
    // Its end may have begun meanwhile; then that goes on, and nothing is restored.
    if (held.grant.state === "suspended") this.grants.restored(held, after);
  }

  /** Mappings that Bargate made are made again; the importer's own are its affair. */
  async #remap(held: HeldGrant): Promise<After> {
    const old = held.mapping;
    if (old === undefined) {
      return IMPORTER_DRIVERS.get(held.grant.plan.importer.driver.value)?.afterBounce ?? "dead";
    }
    delete held.mapping;
    await this.mappings.dropArea(old);
    try {
      held.mapping = await this.mappings.map(held, old.iommufd, old.ioas, old.iova);
      return "resumable";
    } catch (error) {
      await this.mappings.closeCopy(old.iommufd);
      if (!(error instanceof RefusedError)) throw error;
      // The importer has changed its address space; it can ask for another mapping.
      return "dead";
    }
  }
}

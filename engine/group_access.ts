/**
 * The way to the devices of one IOMMU group. By their character devices they are bound to an
 * iommufd; by the group's node, which only one process can have open, they share an iommufd or,
 * where the kernel has none, a container. Either owns the DMA of the whole group.
 *
 * @module
 */
import { closeAll } from "./close_all.ts";
import { closeOnLane } from "./close_on_lane.ts";
import type { Fd } from "./fd.ts";
import type { Kernel, Lane } from "./kernel.ts";
import { ready, undo } from "./refusal.ts";
import type { SharedIommufd } from "./shared_iommufd.ts";
import { tokenCause, type TokenTarget, type VfTokenSource } from "./vf_token.ts";

/** How a device is opened. */
export type Route = "cdev" | "group";

/** What is opened: a device's own node, or its group's. */
export interface RouteTarget extends TokenTarget {
  readonly route: Route;
  /** `/dev/vfio/devices/vfioN`, or `/dev/vfio/G`. */
  readonly node: string;
}

/** A VFIO container, for kernels without iommufd. */
export const CONTAINER_NODE = "/dev/vfio/vfio";

/** What the sessions of one IOMMU group share. */
export class GroupAccess {
  #group: Fd | undefined;
  #container: Fd | undefined;
  #devices = 0;

  /**
   * @param kernel the port
   * @param shared the iommufd of all groups
   * @param tokenFor what virtual functions are opened with
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly shared: SharedIommufd,
    private readonly tokenFor: VfTokenSource = () => undefined,
  ) {}

  /** What buffers are probed through; absent where the kernel has no iommufd. */
  get iommufd(): Fd | undefined {
    return this.shared.fd;
  }

  /** The group's descriptor; absent by the character-device route, or while no device is open. */
  get group(): Fd | undefined {
    return this.#group;
  }

  /**
   * Opens a device of the group, ready for its ioctls.
   *
   * @param lane of the device
   * @param target which, and how
   * @returns the device fd
   * @throws {HostNotReadyError} with the cause
   */
  async openDevice(lane: Lane, target: RouteTarget): Promise<Fd> {
    await this.shared.open(target.route === "group");
    this.#devices++;
    try {
      return target.route === "cdev"
        ? await this.#openBound(lane, target)
        : await this.#openByGroup(lane, target);
    } catch (error) {
      return await undo(error, () => Promise.try(() => this.deviceClosed()));
    }
  }

  /**
   * A device that was opened here is closed. With the last one the group is given back.
   *
   * @throws {KernelError} if a close is refused; all of it is given up
   */
  deviceClosed(): void {
    if (--this.#devices > 0) return;
    const given = [this.#group, this.#container];
    this.#group = this.#container = undefined;
    closeAll(this.kernel, given);
  }

  async #openBound(lane: Lane, target: RouteTarget): Promise<Fd> {
    const { node } = target;
    const iommufd = this.iommufd;
    const device = await ready(`open ${node}`, () => lane.openNode(node));
    try {
      if (iommufd !== undefined) {
        await this.#take(target, (token) => lane.bindIommufd(device, iommufd, token));
      }
      return device;
    } catch (error) {
      return await undo(error, () => closeOnLane(this.kernel, lane, device));
    }
  }

  async #openByGroup(lane: Lane, target: RouteTarget): Promise<Fd> {
    const group = this.#group ??= await this.#openGroup(lane, target.node);
    return await this.#take(target, (token) => lane.groupDevice(group, target.address, token));
  }

  async #take<T>(target: TokenTarget, open: (token?: string) => Promise<T>): Promise<T> {
    const token = this.tokenFor(target);
    return await ready(
      `take device ${target.address}`,
      () => open(token),
      (error) => tokenCause(error, target, token !== undefined),
    );
  }

  async #openGroup(lane: Lane, node: string): Promise<Fd> {
    const group = await ready(`open ${node}`, () => lane.openShared(node));
    try {
      const owner = this.iommufd ?? await this.#openContainer(lane);
      await ready(`take group ${node}`, () => lane.setContainer(group, owner));
      const container = this.#container;
      if (container !== undefined) {
        await ready(`take group ${node}`, () => lane.setType1Iommu(container));
      }
      return group;
    } catch (error) {
      return await undo(error, () => closeOnLane(this.kernel, lane, group));
    }
  }

  async #openContainer(lane: Lane): Promise<Fd> {
    return this.#container ??= await ready(
      `open ${CONTAINER_NODE}`,
      () => lane.openShared(CONTAINER_NODE),
    );
  }
}

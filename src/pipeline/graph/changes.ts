import { isDeepStrictEqual } from 'node:util'
import type { Component } from '../../component/define.ts'
import type { Configured, PipelineConfig } from '../config/config.ts'
import type { Leftovers } from '../delivery/counting.ts'

/** The effects of a reload, by paths of the YAML such as `exporters.debug`. */
export interface Changes {
  readonly kept: readonly string[]
  readonly changed: readonly string[]
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Settings that take effect at the next start of the process. */
  readonly atNextStart: readonly string[]
  /** Removed processors that have not released all their data yet. */
  readonly unreleased: readonly string[]
  /** Data points left in removed queues. */
  readonly leftovers: Readonly<Record<string, Leftovers>>
}

/** Whether a component has the same settings and the same module, so that it can stay. */
export function isSame(left: Configured<Component>, right: Configured<Component>): boolean {
  return left.component === right.component && isDeepStrictEqual(left.config, right.config)
}

/** The differences between two configurations, before anything is done about them. */
export function compare(
  before: PipelineConfig,
  after: PipelineConfig,
): Pick<Changes, 'kept' | 'changed' | 'added' | 'removed'> {
  const [old, now] = [partsOf(before), partsOf(after)]
  const stays = (path: string): boolean => isDeepStrictEqual(old.get(path), now.get(path))
  const both = [...now.keys()].filter((path) => old.has(path))
  return {
    kept: both.filter(stays),
    changed: both.filter((path) => !stays(path)),
    added: [...now.keys()].filter((path) => !old.has(path)),
    removed: [...old.keys()].filter((path) => !now.has(path)),
  }
}

/** The definition of each part of a configuration, by its path. */
function partsOf({ receivers, processors, exporters, pipelines }: PipelineConfig): Map<string, unknown> {
  const parts = new Map<string, unknown>()
  const sections: Readonly<Record<string, ReadonlyMap<string, Configured<Component>>>> = {
    receivers,
    processors,
    exporters,
  }
  for (const [section, components] of Object.entries(sections)) {
    for (const { id, used, ...rest } of components.values()) {
      // The position in the file makes no difference.
      if (used) parts.set(`${section}.${id}`, { ...rest, place: undefined })
    }
  }
  for (const [id, references] of pipelines) parts.set(`service.pipelines.${id}`, references)
  return parts
}

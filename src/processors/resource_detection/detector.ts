import type { ConfigOf, Setting, Settings } from '../../component/settings.ts'
import type { AttributeValue } from '../../otlp/common/attributes.ts'

/** Attributes that a detector can find, by their names in the semantic conventions. */
type AttributeTable = Readonly<Record<string, { readonly doc: string; readonly enabled: boolean }>>

export type Found = Readonly<Record<string, AttributeValue>>

/** The context that a detector is given in addition to its settings. */
interface Detection {
  /** Aborted when it takes too long, or when the pipeline stops. */
  readonly signal: AbortSignal
  /** Names of the attributes that are switched on. */
  readonly wanted: readonly string[]
  /** Reports attributes that could not be found, if others could. */
  readonly fail: (cause: string, error: unknown) => void
}

/** Asks one source for the resource attributes that it knows. */
export interface Detector<S extends Settings = Settings> {
  /** One sentence for the component's page. */
  readonly doc: string
  readonly attributes: AttributeTable
  /** Settings other than `resource_attributes`. */
  readonly settings: S
  /** The caller leaves out attributes that are `undefined`, empty or not wanted. Throws if the source does not answer. */
  detect(config: ConfigOf<S>, detection: Detection): Promise<Found>
}

/** Adds types to a detector and returns it unchanged. */
export function defineDetector<const S extends Settings>(detector: Detector<S>): Detector<S> {
  return detector
}

export interface Switch extends Settings {
  readonly enabled: Setting<'boolean'> & { readonly default: boolean }
}

/** A switch for each attribute of a detector. */
export function switches(attributes: AttributeTable): Readonly<Record<string, Switch>> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { doc, enabled }]) => [
      name,
      { enabled: { doc: `Whether \`${name}\` is set. ${doc}`, format: 'boolean', default: enabled } },
    ]),
  )
}

/** The attributes that virtual machines of every cloud have. */
export const cloudAttributes = {
  'cloud.provider': { doc: 'The cloud.', enabled: true },
  'cloud.platform': { doc: 'The cloud service that this runs on.', enabled: true },
  'cloud.account.id': { doc: 'The account, project or subscription.', enabled: true },
  'cloud.region': { doc: 'The region.', enabled: true },
  'cloud.availability_zone': { doc: 'The zone within the region.', enabled: true },
  'host.id': { doc: 'ID of the machine in its cloud.', enabled: true },
  'host.name': { doc: 'Name of the machine.', enabled: true },
} as const satisfies AttributeTable

import { addValues } from '../../otlp/number_values.ts'
import type { NumberValue } from '../../otlp/number_values.ts'
import { anyValueText, Attributes } from '../../otlp/attributes.ts'
import type { KeyValue } from '../../otlp/attributes.ts'
import type { Metric } from '../../otlp/metrics.ts'
import { NumberPointCursor } from '../../otlp/number_cursor.ts'
import { NumberPoint } from '../../otlp/points.ts'
import type { Operation } from './settings.ts'

/** Makes the function that does one operation, checked before, to the data points of a metric. */
export function operationOf(operation: Operation): (metric: Metric) => Metric {
  const { label = '', new_label = label, new_value = '', experimental_scale = 1 } = operation
  const type = operation.aggregation_type ?? 'sum'
  switch (operation.action) {
    case 'update_label': {
      const values = (operation.value_actions ?? []).map(({ value, new_value }) => [value, new_value] as const)
      return mapAttributes(updateLabel(label, new_label, new Map(values)))
    }
    case 'add_label':
      return mapAttributes((attributes) => attributes.with({ [new_label]: new_value }))
    case 'aggregate_labels': {
      const kept = new Set(operation.label_set)
      return aggregateBy((attributes) => Attributes.from([...attributes].filter(({ key }) => kept.has(key))), type)
    }
    case 'aggregate_label_values': {
      const values = (operation.aggregated_values ?? []).map((value) => [value, new_value] as const)
      return aggregateBy(updateLabel(label, label, new Map(values)), type)
    }
    case 'experimental_scale_value':
      return (metric) =>
        isNumeric(metric)
          ? metric.withPoints(numberPoints(metric).map((point) => scalePoint(point, experimental_scale)))
          : metric
  }
}

function mapAttributes(change: (attributes: Attributes) => Attributes): (metric: Metric) => Metric {
  return (metric) => metric.withPoints(metric.points.map((point) => point.withAttributes(change(point.attributes))))
}

/** Gives a label another name and its values others; a label that has the new name already gives way. */
function updateLabel(
  label: string,
  newLabel: string,
  values: ReadonlyMap<string, string>,
): (attributes: Attributes) => Attributes {
  const update = (entry: KeyValue): KeyValue => {
    const value = values.get(anyValueText(entry.value))
    return { key: newLabel, value: value === undefined ? entry.value : { stringValue: value } }
  }
  return (attributes) => {
    if (!attributes.has(label)) return attributes
    const others = newLabel === label ? attributes : attributes.without(new Set([newLabel]))
    return Attributes.from([...others].map((entry) => (entry.key === label ? update(entry) : entry)))
  }
}

/** Sets of attributes whose change is remembered, of each operation that aggregates. */
const MAX_REMEMBERED = 65_536

type Aggregation = NonNullable<Operation['aggregation_type']>

/** What of a data point is aggregated. */
interface Sample extends NumberValue {
  readonly attributes: Attributes
  /** Nanoseconds since 1970. */
  readonly time: bigint
  readonly start: bigint
  /** Where it was read as an object. */
  readonly point?: NumberPoint
}

/** Makes one of the points that have the same time and, changed, the same attributes. */
function aggregateBy(change: (attributes: Attributes) => Attributes, type: Aggregation): (metric: Metric) => Metric {
  const readSamples = sampleReader(change)
  return (metric) => {
    if (!isNumeric(metric)) return metric
    const groups: Sample[][] = []
    const found = new Map<Attributes, Map<bigint, Sample[]>>()
    for (const sample of readSamples(metric)) {
      let byTime = found.get(sample.attributes)
      if (byTime === undefined) found.set(sample.attributes, (byTime = new Map<bigint, Sample[]>()))
      // Those without a value are apart: no time is negative.
      const time = sample.point?.hasValue === false ? -1n - sample.time : sample.time
      const group = byTime.get(time)
      if (group !== undefined) {
        group.push(sample)
        continue
      }
      const started = [sample]
      byTime.set(time, started)
      groups.push(started)
    }
    return metric.withPoints(groups.map((samples) => combine(samples, type)))
  }
}

/**
 * Makes the function that reads a metric's samples with their attributes changed: the same object for what becomes equal. What can be
 * read by its bytes is, and the attributes that came before are not changed again.
 */
function sampleReader(change: (attributes: Attributes) => Attributes): (metric: Metric) => Generator<Sample> {
  const cursor = new NumberPointCursor()
  const byBytes = new Map<string, Attributes>()
  const byIdentity = new Map<string, Attributes>()

  function changed(bytes: string, holder: { attributes(): Attributes }): Attributes {
    let result = byBytes.get(bytes)
    if (result !== undefined) return result
    const attributes = change(holder.attributes())
    result = byIdentity.get(attributes.identity)
    // Without the request it came in.
    if (result === undefined) byIdentity.set(attributes.identity, (result = Attributes.from([...attributes])))
    byBytes.set(bytes, result)
    return result
  }

  return function* (metric) {
    // Never within a metric, where what becomes equal has to be the same.
    if (byBytes.size >= MAX_REMEMBERED) {
      byBytes.clear()
      byIdentity.clear()
    }
    if (cursor.reads(metric) && cursor.open(metric)) {
      while (cursor.next()) {
        const attributes = changed(cursor.bytesIdentity(), cursor)
        const { isInt } = cursor
        yield { attributes, time: cursor.time(), start: cursor.start(), value: cursor.exactValue(), isInt }
      }
      cursor.end()
      return
    }
    for (const point of numberPoints(metric)) {
      const attributes = changed(point.attributes.bytesIdentity, { attributes: () => point.attributes })
      const { timeUnixNano: time, startTimeUnixNano: start, value, isInt } = point
      yield { attributes, time, start, value, isInt, point }
    }
  }
}

function combine(samples: readonly Sample[], type: Aggregation): NumberPoint {
  const [first, ...others] = samples
  const { attributes, time: timeUnixNano, point } = first
  if (point !== undefined && (others.length === 0 || !point.hasValue)) return point.withAttributes(attributes)
  const fields = {
    attributes,
    timeUnixNano,
    startTimeUnixNano: others.reduce((least, { start }) => (start < least ? start : least), first.start),
    ...(others.length === 0 ? valueOf(first) : combineValues(samples, type)),
  }
  if (point === undefined) return new NumberPoint(fields)
  return point.with({ ...fields, exemplars: samples.flatMap((sample) => sample.point?.exemplars ?? []) })
}

function combineValues(samples: readonly NumberValue[], type: Aggregation): NumberValue {
  const order = ({ value: left = 0 }: NumberValue, { value: right = 0 }: NumberValue) => left < right
  switch (type) {
    case 'min':
      return valueOf(samples.reduce((least, sample) => (order(sample, least) ? sample : least)))
    case 'max':
      return valueOf(samples.reduce((most, sample) => (order(most, sample) ? sample : most)))
    case 'sum':
      return valueOf(samples.reduce(addValues))
    case 'mean':
      return { value: Number(samples.reduce(addValues).value) / samples.length, isInt: false }
  }
}

function valueOf({ value, isInt }: NumberValue): NumberValue {
  return { value, isInt }
}

function scalePoint(point: NumberPoint, factor: number): NumberPoint {
  if (point.value === undefined) return point
  const exemplars = point.exemplars.map((exemplar) => ({
    ...exemplar,
    ...scaleValue(exemplar.value, exemplar.isInt, factor),
  }))
  return point.with({ ...scaleValue(point.value, point.isInt, factor), exemplars })
}

/** An int stays one where the factor is a whole number and int64 holds the result. */
function scaleValue(
  value: number | bigint,
  isInt: boolean,
  factor: number,
): { value: number | bigint; isInt: boolean } {
  if (isInt && Number.isInteger(factor)) {
    const exact = BigInt(value) * BigInt(factor)
    if (BigInt.asIntN(64, exact) === exact) {
      return { value: Number.isSafeInteger(Number(exact)) ? Number(exact) : exact, isInt: true }
    }
  }
  return { value: Number(value) * factor, isInt: false }
}

function isNumeric({ type }: Metric): boolean {
  return type === 'gauge' || type === 'sum'
}

function numberPoints(metric: Metric): readonly NumberPoint[] {
  return metric.points as readonly NumberPoint[]
}

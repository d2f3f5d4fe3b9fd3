import { addValues } from '../../otlp/number_values.ts'
import type { NumberValue } from '../../otlp/number_values.ts'
import { anyValueText, Attributes } from '../../otlp/attributes.ts'
import type { KeyValue } from '../../otlp/attributes.ts'
import type { Metric } from '../../otlp/metrics.ts'
import type { NumberPoint } from '../../otlp/points.ts'
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

/** Makes one of the points that have the same time and, changed, the same attributes. */
function aggregateBy(
  change: (attributes: Attributes) => Attributes,
  type: NonNullable<Operation['aggregation_type']>,
): (metric: Metric) => Metric {
  return (metric) => {
    if (!isNumeric(metric)) return metric
    const groups = new Map<string, NumberPoint[]>()
    for (const point of numberPoints(metric)) {
      const changed = point.withAttributes(change(point.attributes))
      const key = `${point.hasValue} ${point.timeUnixNano} ${changed.attributes.identity}`
      const group = groups.get(key)
      if (group === undefined) groups.set(key, [changed])
      else group.push(changed)
    }
    return metric.withPoints(Array.from(groups.values(), (points) => combine(points, type)))
  }
}

function combine(points: readonly NumberPoint[], type: NonNullable<Operation['aggregation_type']>): NumberPoint {
  const [first, ...others] = points
  if (others.length === 0 || !first.hasValue) return first
  return first.with({
    ...combineValues(points, type),
    startTimeUnixNano: points.map((point) => point.startTimeUnixNano).reduce((a, b) => (b < a ? b : a)),
    exemplars: points.flatMap(({ exemplars }) => exemplars),
  })
}

function combineValues(points: readonly NumberValue[], type: NonNullable<Operation['aggregation_type']>): NumberValue {
  const order = ({ value: left = 0 }: NumberValue, { value: right = 0 }: NumberValue) => left < right
  switch (type) {
    case 'min':
      return valueOf(points.reduce((least, point) => (order(point, least) ? point : least)))
    case 'max':
      return valueOf(points.reduce((most, point) => (order(most, point) ? point : most)))
    case 'sum':
      return points.reduce(addValues)
    case 'mean':
      return { value: Number(points.reduce(addValues).value) / points.length, isInt: false }
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

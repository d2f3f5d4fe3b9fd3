import { describe, expect, it } from '@jest/globals'
import { unitName } from '../../../src/exporters/datadog_native/mapping/units.ts'

describe('units', () => {
  it.each([
    ['By', 'byte'],
    ['MiBy', 'mebibyte'],
    ['ms', 'millisecond'],
    ['s', 'second'],
    ['%', 'percent'],
    ['Cel', 'degree celsius'],
    ['{request}', 'request'],
    ['{thread}', 'thread'],
    ['{datapoint}', 'item'],
    ['kBy', 'kilobyte'],
    ['mW', 'milliwatt'],
    ['wk', 'week'],
    ['By/s', 'byte/second'],
    ['ms/{request}', 'millisecond/request'],
    // Those that Datadog does not have.
    ['1', undefined],
    ['', undefined],
    ['1/s', undefined],
    ['mBy', undefined],
    ['By/s/s', undefined],
    ['{goroutine}', undefined],
    ['constructor', undefined],
    ['by', undefined],
  ])('%s is %s', (ucum, name) => {
    expect(unitName(ucum)).toBe(name)
  })
})

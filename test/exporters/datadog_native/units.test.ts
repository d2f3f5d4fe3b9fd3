import { describe, expect, it } from '@jest/globals'
import { unitName } from '../../../src/exporters/datadog_native/units.ts'

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
    // Those that Datadog does not have.
    ['1', undefined],
    ['', undefined],
    ['By/s', undefined],
    ['{goroutine}', undefined],
    ['constructor', undefined],
    ['by', undefined],
  ])('%s is %s', (ucum, name) => {
    expect(unitName(ucum)).toBe(name)
  })
})

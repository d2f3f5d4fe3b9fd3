import type { RE2JS } from 're2js'
import { re2 } from './re2.ts'

/*
 * RE2's matcher takes linear time for every expression, but V8's is 5 to 40 times faster with those whose time cannot
 * explode. V8 tries one way to match after the other. If no two ways lead to the same place of the expression and the
 * text, it never comes to a place twice, and its time is linear. Except for the plainest expressions, both this proof and the translation
 * start from re2js's result for the expression, so that there is one parser, and one meaning of each class, flag and escape.
 */

/** Code points as ranges: the first and the last of each, in turns. */
type Ranges = ArrayLike<number>

/** A node of the simplified syntax tree of re2js, in which counted repetitions are written out. */
interface Tree {
  readonly op: number
  readonly flags: number
  readonly subs: readonly Tree[]
  readonly runes: Ranges
  readonly cap: number
  readonly name: string | null
}

/** An instruction of the program that re2js compiles from that tree. */
interface Instruction {
  readonly op: number
  readonly out: number
  readonly arg: number
  readonly runes: Ranges
}

interface Program {
  readonly inst: readonly Instruction[]
  readonly start: number
}

/** The kinds of nodes, in the order of re2js's `Regexp.Op`. */
const NODES = [
  'nothing',
  'empty',
  'literal',
  'class',
  'any character but a newline',
  'any character',
  'begin of line',
  'end of line',
  'begin of text',
  'end of text',
  'word boundary',
  'no word boundary',
  'group',
  'star',
  'plus',
  'quest',
  'repeat',
  'concatenation',
  'alternation',
] as const

/** re2js's `RE2Flags`, which the instructions for one character have, too. */
const FOLD_CASE = 1
const NON_GREEDY = 32

/** re2js's `Inst`: from RUNE on, an instruction takes a character. */
const [ALT, ALT_MATCH, FAIL, MATCH, RUNE] = [1, 2, 5, 6, 8]
/** re2js's condition of a program that matches only at the beginning of the text. */
const EMPTY_BEGIN_TEXT = 4

/** Larger programs are left to RE2: the work of the proof grows with the square. */
const MOST_INSTRUCTIONS = 300
const MOST_PAIRS = 20_000

/** A character that means itself, or any character. */
const CHARACTER = String.raw`(?:[\w :/.-]|\\[$^\\.*+?()[\]{}|/])`
/** Characters, among which is at most one choice of texts, perhaps from the beginning, and to the end or followed by anything. */
const PLAIN = new RegExp(
  String.raw`^\^?${CHARACTER}*(?:\((?:\?:)?${CHARACTER}+(?:\|${CHARACTER}+)*\)${CHARACTER}*)?(?:\$|\.[*+])?$`,
)

/**
 * The same expression for V8 without re2js, whose loading takes 3 MiB; `undefined` if it is not that simple. At each place of the text,
 * V8 tries each text of the choice once.
 */
export function plainInV8(pattern: string): RegExp | undefined {
  if (!PLAIN.test(pattern)) return undefined
  return new RegExp(
    pattern.replace(/\\.|\./g, (part) => (part === '.' ? '[^\\n]' : part)),
    'u',
  )
}

/** The same expression for V8; `undefined` if V8 might take more than linear time or find something else. */
export function inV8(expression: RE2JS): RegExp | undefined {
  const { prog: program, cond } = expression.re2() as { prog: Program; cond: number }
  const anchored = (cond & EMPTY_BEGIN_TEXT) !== 0
  if (program.inst.length > MOST_INSTRUCTIONS || !hasOneWay(program, { anchored })) return undefined
  // V8 also finds nothing between the two halves of a character beyond U+FFFF.
  if (!anchored && expression.test('')) return undefined
  const tree = treeOf(expression.pattern())
  const groups = groupsOf(tree)
  const alike = groups?.length === expression.groupCount() && groups.every(({ cap }, index) => cap === index + 1)
  return alike ? new RegExp(sourceOf(tree), 'u') : undefined
}

function treeOf(pattern: string): Tree {
  const { RE2Set } = re2()
  const set = new RE2Set()
  set.add(pattern)
  return set.regexps[0] as Tree
}

/**
 * The groups of a tree; `undefined` if one has a name that JavaScript does not accept, or is in a loop: V8 forgets
 * earlier matches in each round, and RE2 does not.
 */
function groupsOf(tree: Tree): Tree[] | undefined {
  const groups = NODES[tree.op] === 'group' ? [tree] : []
  if (groups.length > 0 && !/^([A-Za-z_]\w*)?$/.test(tree.name ?? '')) return undefined
  for (const sub of tree.subs) {
    const inner = groupsOf(sub)
    if (inner === undefined || (inner.length > 0 && ['star', 'plus'].includes(NODES[tree.op]))) return undefined
    groups.push(...inner)
  }
  return groups
}

/** Writes a tree as JavaScript with the flag `u`. */
function sourceOf(tree: Tree): string {
  const inner = (): string => `(?:${sourceOf(tree.subs[0])})`
  const lazy = (tree.flags & NON_GREEDY) === 0 ? '' : '?'
  switch (NODES[tree.op]) {
    case 'nothing':
      return '[]'
    case 'empty':
      return '(?:)'
    case 'literal':
      return Array.from(tree.runes, (rune) => classOf(spellings(rune, tree.flags))).join('')
    case 'class':
      return classOf(tree.runes)
    case 'any character but a newline':
      return '[^\\n]'
    case 'any character':
      return '[^]'
    case 'begin of line':
      return '(?<![^\\n])'
    case 'end of line':
      return '(?![^\\n])'
    case 'begin of text':
      return '^'
    case 'end of text':
      return '$'
    case 'word boundary':
      return '\\b'
    case 'no word boundary':
      return '\\B'
    case 'group':
      return `(${tree.name ? `?<${tree.name}>` : ''}${sourceOf(tree.subs[0])})`
    case 'star':
      return `${inner()}*${lazy}`
    case 'plus':
      return `${inner()}+${lazy}`
    case 'quest':
      return `${inner()}?${lazy}`
    case 'concatenation':
      return tree.subs.map(sourceOf).join('')
    case 'alternation':
      return `(?:${tree.subs.map(sourceOf).join('|')})`
    default:
      throw new Error(`The tree of re2js has a node of the unknown kind ${tree.op}.`)
  }
}

function classOf(ranges: Ranges): string {
  const texts = Array.from({ length: ranges.length / 2 }, (_, index) => {
    const [first, last] = [ranges[2 * index], ranges[2 * index + 1]].map((rune) => `\\u{${rune.toString(16)}}`)
    return first === last ? first : `${first}-${last}`
  })
  return texts.length === 1 && !texts[0].includes('-') ? texts[0] : `[${texts.join('')}]`
}

/** A character of an expression, in all its spellings if case does not matter. */
function spellings(rune: number, flags: number): Ranges {
  if ((flags & FOLD_CASE) === 0) return [rune, rune]
  // In a class with another character, re2js writes the spellings out.
  const other = rune === 0 ? 1 : 0
  const { runes } = treeOf(`(?i)[\\x{${other}}\\x{${rune.toString(16)}}]`)
  return Array.from(runes).filter((each) => each !== other)
}

/** Represents the attempts that start later in the text. */
const LATER = -1

/**
 * Whether no two ways through a program lead to the same place in the expression and in the text. Looks, from all pairs
 * of places where two ways can part, for one in which they meet again after the same characters. Conditions such as `$`
 * and `\b` count as fulfilled, so rather too many ways are considered than too few.
 */
function hasOneWay({ inst: program, start }: Program, { anchored }: { readonly anchored: boolean }): boolean {
  const taking = new Map<number, Ranges>([[LATER, [0, 0x10ffff]]])
  const next = new Map<number, readonly number[]>()
  for (const [place, { op, out, arg, runes }] of program.entries()) {
    if (op < RUNE) continue
    const after = reached(program, out)
    if (after === undefined) return false
    next.set(place, after)
    taking.set(place, runes.length === 1 ? spellings(runes[0], arg) : runes)
  }
  const first = reached(program, start)
  if (first === undefined) return false
  next.set(LATER, anchored ? first : [LATER, ...first])

  const seen = new Set<number>()
  const pairs: [number, number][] = []
  /** Adds a pair of places; `false` if they are the same. */
  const add = (left: number, right: number): boolean => {
    if (left === right) return false
    const pair = Math.min(left, right) * (MOST_INSTRUCTIONS + 1) + Math.max(left, right)
    if (!seen.has(pair)) pairs.push([left, right])
    seen.add(pair)
    return true
  }
  for (const places of next.values()) {
    places.forEach((left, index) => places.slice(index + 1).forEach((right) => add(left, right)))
  }
  for (const [left, right] of pairs) {
    if (pairs.length > MOST_PAIRS) return false
    const [here, there] = [next.get(left) ?? [], next.get(right) ?? []]
    if (!intersect(taking.get(left) ?? [], taking.get(right) ?? [])) continue
    if (!here.every((one) => there.every((other) => add(one, other)))) return false
  }
  return true
}

/** The instructions for a character that an instruction leads to without taking one; `undefined` if by two ways. */
function reached(program: readonly Instruction[], from: number): number[] | undefined {
  const seen = new Set<number>()
  const places: number[] = []
  const open = [from]
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    const { op, out, arg } = program[place]
    if (op === FAIL) continue
    if (seen.has(place)) return undefined
    seen.add(place)
    if (op >= RUNE) places.push(place)
    else if (op === ALT || op === ALT_MATCH) open.push(out, arg)
    else if (op !== MATCH) open.push(out)
  }
  return places
}

function intersect(left: Ranges, right: Ranges): boolean {
  for (let here = 0, there = 0; here < left.length && there < right.length;) {
    if (left[here + 1] < right[there]) here += 2
    else if (right[there + 1] < left[here]) there += 2
    else return true
  }
  return false
}

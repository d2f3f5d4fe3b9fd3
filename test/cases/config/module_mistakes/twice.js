const component = { kind: 'processor', type: 'twice', summary: 'Twice.', config: {}, create: () => (batch) => batch }

export default [component, component]

// node walk.mjs <gateway address> <app id> <app token>: prints what the client was told, as JSON.
import sdk from '@voucherify/sdk'

const [apiUrl, applicationId, secretKey] = process.argv.slice(2)
const client = sdk.VoucherifyServerSide({ applicationId, secretKey, apiUrl })
const name = `Node ${Date.now()} ü/1`

const refusal = async (promise) => {
  try {
    await promise
  } catch (error) {
    return { code: error.code, key: error.key }
  }
  return null
}

const created = await client.campaigns.create({
  name,
  campaign_type: 'DISCOUNT_COUPONS',
  type: 'STATIC',
  vouchers_count: 3,
  start_date: '2026-03-01T00:00:00Z',
  expiration_date: '2026-03-31T00:00:00Z',
  voucher: {
    type: 'DISCOUNT_VOUCHER',
    discount: { type: 'PERCENT', percent_off: 12.5 },
    code_config: { pattern: 'NODE-#####' },
    redemption: { quantity: 1 },
  },
})
const seen = await client.campaigns.get(name)
const imported = await client.campaigns.importVouchers(name, [{ code: `OWN-${Date.now()}`, redemption: { quantity: 1 } }])
let action = await client.asyncActions.get(imported.async_action_id)
for (let tries = 0; action.status === 'IN_PROGRESS' && tries < 200; tries += 1) {
  await new Promise((resolve) => setTimeout(resolve, 50))
  action = await client.asyncActions.get(imported.async_action_id)
}
const listed = await client.vouchers.list({ campaign: name, limit: 10, page: 1 })
const published = await client.distributions.publications.create({
  campaign: { name, count: 1 },
  customer: { source_id: 'node-1' },
})
const code = published.voucher.code
const order = { amount: 20000 }
const customer = { source_id: 'node-1' }
const valid = await client.validations.validateVoucher(code, { order, customer })
const stacked = await client.validations.validateStackable({ redeemables: [{ object: 'voucher', id: code }], order, customer })
const redeemed = await client.redemptions.redeem(code, { order, customer })
const twice = await refusal(client.redemptions.redeem(code, { order, customer }))
const rolledBack = await client.redemptions.rollback(redeemed.id, { reason: 'wrong size' })
const again = await client.redemptions.redeemStackable({ redeemables: [{ object: 'voucher', id: code }], order, customer })
const disabled = await client.vouchers.disable(listed.vouchers[2].code)
const unknown = await refusal(client.vouchers.get('NO-SUCH-VOUCHER'))

console.log(JSON.stringify({
  created: { name: created.name, count: created.vouchers_count, percent: created.voucher.discount.percent_off },
  seen: seen.id === created.id,
  listed: listed.vouchers.length,
  published: { result: published.result, prefix: code.slice(0, 5) },
  valid: { valid: valid.valid, total: valid.order.total_amount },
  stacked: { valid: stacked.valid, total: stacked.order.total_amount },
  redeemed: { result: redeemed.result, discount: redeemed.order.total_discount_amount },
  twice,
  rolledBack: { result: rolledBack.result, reason: rolledBack.reason },
  again: again.redemptions[0].result,
  disabled: disabled.active,
  unknown,
  action: { object: action.object, status: action.status, outcome: action.operation_status },
}))

/** The boundary between what a customer wants of the bank and what the bank answers: one help text an intent. */

/**
 * The 77 intents of BANKING77, in its own spelling, each with what to tell the customer. The bank is made up, and so
 * are its menus; figures are left out, because a help text that invents a fee or a number of days is worse than none.
 */
export const helpTexts = {
  activate_my_card:
    "To activate your card, open Cards, choose the card and tap Activate; a first payment with chip and PIN works too.",
  age_limit:
    "You need to be 18 to open an account. For someone younger, a parent can add a junior account under Family.",
  apple_pay_or_google_pay:
    "Both Apple Pay and Google Pay work: open Cards, choose the card and tap Add to wallet. Top up afterwards from the wallet as with any card.",
  atm_support:
    "You can withdraw at any machine that shows your card's network logo. The map under Cash lists those near you.",
  automatic_top_up:
    "Switch on Auto top-up under Add money, and choose the balance that triggers it and the amount. You can turn it off there at any time.",
  balance_not_updated_after_bank_transfer:
    "A bank transfer shows in your balance once the sending bank has released it, usually within a working day or two. Please check the reference and account number meanwhile.",
  balance_not_updated_after_cheque_or_cash_deposit:
    "Cheques and cash take longer to clear than transfers. If the deposit is older than a week, send us a photo of the receipt in this chat.",
  beneficiary_not_allowed:
    "Some recipients cannot be added, for instance accounts in countries or currencies we do not support. Check the details under Recipients, or pick another account of theirs.",
  cancel_transfer:
    "Open the transfer and tap Cancel while it says Pending. Once it is completed only the recipient can send it back; tell us quickly if it was a mistake.",
  card_about_to_expire:
    "A new card is sent to your address before the old one expires, and the old one works until then. Check your address under Profile now.",
  card_acceptance:
    "Your card is accepted wherever its network logo is shown, in shops and online. A few places, such as toll roads, take no debit cards.",
  card_arrival:
    "You can follow your card under Cards, Delivery. If the latest date shown there has passed, order a replacement in the same place, free of charge.",
  card_delivery_estimate:
    "The expected delivery date is shown when you order, and later under Cards, Delivery. Express delivery can be chosen while ordering.",
  card_linking:
    "To link a card to your account, open Cards, tap Link an existing card and type its number. A card you had reported lost can be linked again if you find it before it is cancelled.",
  card_not_working:
    "Please check that the card is active, not frozen and not expired under Cards. If all is well there and it still fails, order a replacement in the same place.",
  card_payment_fee_charged:
    "Card payments with us are free, but some shops add a charge of their own, and payments in another currency can carry one. Tap the payment to see which it was.",
  card_payment_not_recognised:
    "Tap the payment to see the shop's full name and place; it often differs from its sign. If it still was not you, freeze the card and report the payment from the same page.",
  card_payment_wrong_exchange_rate:
    "The rate is the one of the moment when the payment was settled, which may be later than your purchase. Tap the payment to see the rate and when it was fixed.",
  card_swallowed:
    "Freeze the card under Cards at once. If the machine belongs to a bank that is open, ask inside; otherwise order a replacement, since machines usually destroy the cards they keep.",
  cash_withdrawal_charge:
    "Withdrawals are free up to your plan's monthly limit, and the machine's owner may add a fee. Tap the withdrawal to see which of them you paid.",
  cash_withdrawal_not_recognised:
    "If you did not take out that cash, freeze your card now and report the withdrawal from its page. We will look into it and come back to you here.",
  change_pin:
    "You can change your PIN at a cash machine: insert the card, choose PIN services, then Change PIN. The current PIN is shown under Cards, Security.",
  compromised_card:
    "Freeze the card under Cards right away, then report every payment that was not yours. Order a new card there; the old number stops working.",
  contactless_not_working:
    "Make one payment with chip and PIN first; that unlocks contactless. Then check under Cards, Limits that contactless is switched on.",
  country_support:
    "Accounts are open to residents of the countries listed under Help, Countries. With an account you can pay in many more.",
  declined_card_payment:
    "The usual reasons for a declined payment are a frozen card, a balance that is too low, a limit, or a wrong PIN. Tap the declined payment to see which it was, and try again.",
  declined_cash_withdrawal:
    "Check your balance, your withdrawal limit and that the card is not frozen; the declined withdrawal names its reason. Another machine may help if none is given.",
  declined_transfer:
    "Tap the declined transfer to see the reason. Most often the recipient's details do not match, or the amount is over your limit; correct it and send it again.",
  direct_debit_payment_not_recognised:
    "Direct debits are listed with their company under Payments, Direct debits. If you never agreed to this one, cancel it there and ask for your money back from the same page.",
  disposable_card_limits:
    "You can have a set number of disposable virtual cards a day; Cards, Disposable shows how many are left and the most one may pay.",
  edit_personal_details:
    "Change your name, address or phone number under Profile, Personal details. For a new name we ask for a photo of the document that shows it.",
  exchange_charge:
    "Exchanging currencies in the app shows its fee before you confirm; there is none within your plan's monthly allowance on weekdays.",
  exchange_rate:
    "You get the market rate of the moment, shown under Exchange before you confirm. For card payments it is the rate of the day when the shop settles.",
  exchange_via_app:
    "Open Exchange, choose the two currencies and the amount, and confirm the rate that is shown. The money is in the other balance at once.",
  extra_charge_on_statement:
    "Tap the charge to see what it is for: small ones are often a shop checking your card, and disappear by themselves. If it stays and you do not know it, report it there.",
  failed_transfer:
    "A failed transfer returns to your balance by itself. Check the account number, the name and your limits, then send it again.",
  fiat_currency_support:
    "You can hold and exchange the currencies listed under Exchange. Payments by card work in nearly every other one too.",
  get_disposable_virtual_card:
    "Open Cards, tap Add a card and choose Disposable. Its number changes after every payment, which makes it right for shops you do not know.",
  get_physical_card:
    "Open Cards, tap Add a card and choose Physical. The PIN is shown in the app under the card's Security page, not sent by post.",
  getting_spare_card:
    "Yes, you can have a second card for the same account: open Cards, tap Add a card and choose Physical once more.",
  getting_virtual_card: "Open Cards, tap Add a card and choose Virtual. It is ready for online shopping at once.",
  lost_or_stolen_card:
    "Freeze the card under Cards now; that works at once. If it does not turn up, report it lost there and order a new one.",
  lost_or_stolen_phone:
    "Sign in from any browser and choose Sign out of all devices, so that nobody can use the app on your phone. Your card keeps working; freeze it as well if it was with the phone.",
  order_physical_card:
    "To order a card, open Cards, tap Add a card and choose Physical; the price and the delivery date are shown before you confirm.",
  passcode_forgotten:
    "Tap Forgot passcode on the sign-in page and confirm with your e-mail and a selfie. You can choose a new passcode straight away.",
  pending_card_payment:
    "A pending payment waits for the shop to collect it, which can take some days. If the shop never does, the money is released by itself.",
  pending_cash_withdrawal:
    "A withdrawal stays pending until the machine's bank confirms it. If you got no cash, it is returned once that bank reports it.",
  pending_top_up:
    "A top-up is pending until your bank or card releases the money. If it still is after a working day, check with them whether they hold it back.",
  pending_transfer:
    "A pending transfer is on its way: within the country mostly hours, abroad a few working days. You can cancel it from its page until it is completed.",
  pin_blocked:
    "Too many wrong tries block the PIN. Look it up under Cards, Security, then unblock it at a cash machine under PIN services.",
  receiving_money:
    "Share the account details under Account, Receive money. Salaries and transfers in supported currencies arrive in the matching balance.",
  request_refund:
    "Ask the shop first: it can return the money to your card. If it refuses, open the payment and tap Ask for a refund, and we will take it from there.",
  "reverted_card_payment?":
    "A reverted payment was given back by the shop or never collected, so the money is in your balance again. The payment's page shows which of them it was.",
  supported_cards_and_currencies:
    "You can add money with debit and credit cards of the large networks, in any currency you can hold. The list is under Add money, Card.",
  terminate_account:
    "We are sorry to see you go. Move your balance out, then close the account under Profile, Close account. If something went wrong, tell us here first.",
  top_up_by_bank_transfer_charge:
    "We charge nothing for topping up by bank transfer. Your own bank may do so, most often on transfers from abroad.",
  top_up_by_card_charge:
    "Topping up with a card from your own country is free; other cards can cost a fee, which is shown before you confirm.",
  top_up_by_cash_or_cheque:
    "Cash and cheques cannot be paid in directly. Deposit them at another bank and send the money on by transfer.",
  top_up_failed:
    "A failed top-up is not charged. Check the card's details and its balance, and that your bank allows online payments, then try again.",
  top_up_limits:
    "Your top-up limits for the day and the month are under Profile, Limits. Verifying your identity raises them.",
  top_up_reverted:
    "A top-up is reverted when your bank takes the money back or we could not match it to your name. It is on its way to where it came from; use a card or account of your own.",
  topping_up_by_card:
    "Open Add money, choose Card and type the amount. The first time you enter the card's details; afterwards one tap is enough.",
  transaction_charged_twice:
    "One of two equal charges is often only pending and vanishes by itself. If both are completed, report the second one from its page, and we will get it back.",
  transfer_fee_charged:
    "Transfers within the country are free; abroad a fee is shown before you confirm. Banks in between can take a share, which you see in the transfer's details.",
  transfer_into_account:
    "To move money here, send a bank transfer to the details under Account, Receive money, or choose Add money.",
  transfer_not_received_by_recipient:
    "Check the transfer's page: when it says Completed, the recipient's bank has it and may need a working day to show it. The proof of payment there helps them to find it.",
  transfer_timing:
    "Transfers within the country mostly arrive the same day; abroad they take a few working days. The expected date is shown before you confirm.",
  unable_to_verify_identity:
    "Take the photo in daylight, with the whole document in view and without reflections, and use one that is still valid. If it fails again, write to us here, and a person will look at it.",
  verify_my_identity:
    "Open Profile, Verify identity, and have a passport, identity card or driving licence at hand. You take a photo of it and one of yourself.",
  verify_source_of_funds:
    "We must know where larger sums come from. Upload a payslip, a contract of sale or a statement under Profile, Documents.",
  verify_top_up:
    "To verify a top-up card, type the small code that stands beside our charge on that card's statement, under Add money, Cards.",
  virtual_card_not_working:
    "Check under Cards that the virtual card is not frozen and its limit not used up. A disposable one is good for a single payment: take its new number.",
  visa_or_mastercard:
    "You can choose between Visa and Mastercard while ordering, where both are offered in your country; they work alike.",
  why_verify_identity:
    "The law obliges every bank to know its customers, and it keeps others from opening accounts in your name. It takes a few minutes under Profile, Verify identity.",
  wrong_amount_of_cash_received:
    "Report the withdrawal from its page with the sum you really got. The machine's bank counts its cash, and the difference is returned to you.",
  wrong_exchange_rate_for_cash_withdrawal:
    "A machine may offer to convert for you, at its own rate: choose to be charged in the local currency. The withdrawal's page shows which rate was used.",
  Refund_not_showing_up:
    "A refund can take several working days after the shop has sent it. Ask the shop for the date and the reference, and tell us both if it is older than that.",
} as const satisfies Readonly<Record<string, string>>

export type BankingIntent = keyof typeof helpTexts

export const isBankingIntent = (intent: string): intent is BankingIntent => Object.hasOwn(helpTexts, intent)

/** `card_payment_not_recognised` to `card payment not recognised`. */
export const intentInWords = (intent: string): string => intent.replaceAll("_", " ").replace("?", "").toLowerCase()

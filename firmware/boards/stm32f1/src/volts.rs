//! Supply and battery, by the part's own reference.

use stm32f1xx_hal::{
    pac::{ADC1, PWR},
    rcc::{Enable, Rcc},
};

/// The reference, mV (data sheet of STM32F103x8, table 13: 1.16 to 1.24 V).
const REFERENCE: u32 = 1_200;
const REFERENCE_CHANNEL: u8 = 17;
/// PA1.
const BATTERY_CHANNEL: u8 = 1;
const FULL_SCALE: u32 = 4_095;
/// A conversion takes 63 us; an emulator's may never end.
const PATIENCE: u32 = 2_000;

/// The comparator's highest threshold, 2.9 V.
const LOW: u8 = 7;

/// The converter, and the comparator that watches the supply.
pub struct Volts {
    adc: ADC1,
    power: PWR,
}

impl Volts {
    /// Switches both on.
    #[allow(unsafe_code)]
    pub fn new(adc: ADC1, power: PWR, rcc: &mut Rcc) -> Volts {
        PWR::enable(rcc);
        power.cr().modify(|_, w| {
            // SAFETY: any three bits are a threshold.
            unsafe { w.pls().bits(LOW) };
            w.pvde().set_bit()
        });
        ADC1::enable(rcc);
        adc.cr2()
            .modify(|_, w| w.adon().set_bit().tsvrefe().set_bit());
        cortex_m::asm::delay(8 * 20);
        // The reference's data sheet wants 17.1 us of sampling; a divider has high impedance.
        adc.smpr1().modify(|_, w| w.smp17().cycles239_5());
        adc.smpr2().modify(|_, w| w.smp1().cycles239_5());
        adc.cr2().modify(|_, w| w.cal().set_bit());
        for _ in 0..PATIENCE {
            if adc.cr2().read().cal().bit_is_clear() {
                break;
            }
        }
        adc.cr2()
            .modify(|_, w| w.exttrig().set_bit().extsel().swstart());
        Volts { adc, power }
    }

    /// Whether the supply is too low to go on for long.
    pub fn supply_falls(&self) -> bool {
        self.power.csr().read().pvdo().bit_is_set()
    }

    /// Supply, mV.
    pub fn supply(&mut self) -> Option<u16> {
        let reference = self.convert(REFERENCE_CHANNEL)?;
        u16::try_from(FULL_SCALE * REFERENCE / reference).ok()
    }

    /// The battery's pin, mV.
    pub fn battery(&mut self) -> Option<u16> {
        let pin = self.convert(BATTERY_CHANNEL)?;
        let reference = self.convert(REFERENCE_CHANNEL)?;
        u16::try_from(pin * REFERENCE / reference).ok()
    }

    /// What a channel has; nothing where the converter does not answer, or answers 0.
    #[allow(unsafe_code)]
    fn convert(&mut self, channel: u8) -> Option<u32> {
        let adc = &self.adc;
        // SAFETY: the two channels above exist.
        adc.sqr3().write(|w| unsafe { w.sq1().bits(channel) });
        adc.cr2().modify(|_, w| w.swstart().set_bit());
        (0..PATIENCE).find(|_| adc.sr().read().eoc().bit_is_set())?;
        let value = u32::from(adc.dr().read().data().bits());
        (value > 0).then_some(value)
    }
}

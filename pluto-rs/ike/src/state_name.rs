//! The states of exchanges by name: Openswan's words and numbers for the log and the control socket.

/// States by name, for the log and `ipsec auto --status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateName {
    MainR0,
    MainI1,
    MainR1,
    MainI2,
    MainR2,
    MainI3,
    MainR3,
    MainI4,
    AggrR0,
    AggrI1,
    AggrR1,
    AggrI2,
    AggrR2,
    XauthR0,
    XauthR1,
    ModeCfgR1,
    ModeCfgI1,
    XauthI0,
    XauthI1,
    QuickR0,
    QuickI1,
    QuickR1,
    QuickI2,
    QuickR2,
}

impl StateName {
    /// `STATE_MAIN_R1` and so on.
    pub(crate) fn label(self) -> &'static str {
        match self {
            StateName::MainR0 => "STATE_MAIN_R0",
            StateName::MainI1 => "STATE_MAIN_I1",
            StateName::MainR1 => "STATE_MAIN_R1",
            StateName::MainI2 => "STATE_MAIN_I2",
            StateName::MainR2 => "STATE_MAIN_R2",
            StateName::MainI3 => "STATE_MAIN_I3",
            StateName::MainR3 => "STATE_MAIN_R3",
            StateName::MainI4 => "STATE_MAIN_I4",
            StateName::AggrR0 => "STATE_AGGR_R0",
            StateName::AggrI1 => "STATE_AGGR_I1",
            StateName::AggrR1 => "STATE_AGGR_R1",
            StateName::AggrI2 => "STATE_AGGR_I2",
            StateName::AggrR2 => "STATE_AGGR_R2",
            StateName::XauthR0 => "STATE_XAUTH_R0",
            StateName::XauthR1 => "STATE_XAUTH_R1",
            StateName::ModeCfgR1 => "STATE_MODE_CFG_R1",
            StateName::ModeCfgI1 => "STATE_MODE_CFG_I1",
            StateName::XauthI0 => "STATE_XAUTH_I0",
            StateName::XauthI1 => "STATE_XAUTH_I1",
            StateName::QuickR0 => "STATE_QUICK_R0",
            StateName::QuickI1 => "STATE_QUICK_I1",
            StateName::QuickR1 => "STATE_QUICK_R1",
            StateName::QuickI2 => "STATE_QUICK_I2",
            StateName::QuickR2 => "STATE_QUICK_R2",
        }
    }

    /// What was done and what is awaited.
    pub(crate) fn story(self) -> &'static str {
        match self {
            StateName::MainR0 => "expecting MI1",
            StateName::MainI1 => "sent MI1, expecting MR1",
            StateName::MainR1 => "sent MR1, expecting MI2",
            StateName::MainI2 => "sent MI2, expecting MR2",
            StateName::MainR2 => "sent MR2, expecting MI3",
            StateName::MainI3 => "sent MI3, expecting MR3",
            StateName::MainR3 => "sent MR3, ISAKMP SA established",
            StateName::MainI4 => "ISAKMP SA established",
            StateName::AggrR0 => "expecting AI1",
            StateName::AggrI1 => "sent AI1, expecting AR1",
            StateName::AggrR1 => "sent AR1, expecting AI2",
            StateName::AggrI2 => "sent AI2, ISAKMP SA established",
            StateName::AggrR2 => "ISAKMP SA established",
            StateName::XauthR0 => "XAUTH request sent, expecting the reply",
            StateName::XauthR1 => "XAUTH status sent, expecting Ack",
            StateName::ModeCfgR1 => "ModeCfg Set sent, expecting Ack",
            StateName::ModeCfgI1 => "ModeCfg client - awaiting configuration",
            StateName::XauthI0 => "XAUTH client - awaiting CFG_request",
            StateName::XauthI1 => "XAUTH client - awaiting CFG_set",
            StateName::QuickR0 => "expecting QI1",
            StateName::QuickI1 => "sent QI1, expecting QR1",
            StateName::QuickR1 => "sent QR1, inbound IPsec SA installed, expecting QI2",
            StateName::QuickI2 => "sent QI2, IPsec SA established",
            StateName::QuickR2 => "IPsec SA established",
        }
    }

    /// Openswan 2.6's reply code of a state that is reached: 100 plus its number.
    pub(crate) fn code(self) -> u8 {
        match self {
            StateName::MainR0 => 103,
            StateName::MainI1 => 104,
            StateName::MainR1 => 105,
            StateName::MainI2 => 106,
            StateName::MainR2 => 107,
            StateName::MainI3 => 108,
            StateName::MainR3 => 109,
            StateName::MainI4 => 110,
            StateName::AggrR0 => 111,
            StateName::AggrI1 => 112,
            StateName::AggrR1 => 113,
            StateName::AggrI2 => 114,
            StateName::AggrR2 => 115,
            StateName::XauthR0 => 123,
            StateName::XauthR1 => 124,
            StateName::ModeCfgR1 => 126,
            StateName::ModeCfgI1 => 128,
            StateName::XauthI0 => 129,
            StateName::XauthI1 => 130,
            StateName::QuickR0 => 116,
            StateName::QuickI1 => 117,
            StateName::QuickR1 => 118,
            StateName::QuickI2 => 119,
            StateName::QuickR2 => 120,
        }
    }
}

"""Field lists of the KIS Open API calls and feeds, in the order of the wire.

Each list is one string of `name:format` words. The formats:

| format | value |
|---|---|
| `i` | whole number without a sign (prices, quantities, counts) |
| `s` | whole number that may be negative (changes, amounts of won) |
| `f2`, `f4`, `f8` | decimal with so many digits after the point, may be negative |
| `n` | whole number or decimal |
| `d`, `t`, `m` | `YYYYMMDD`, `HHMMSS`, `MM` |
| `y` | `Y` or `N` |
| `c`, `c1` .. `c10` | code, of so many characters |
| `x` | text |

Every value is a text, and any of them may be empty, which means "not known".
"""

from __future__ import annotations

import re

PATTERNS = {
    "i": r"\d+",
    "s": r"-?\d+",
    "f2": r"-?\d+\.\d{2}",
    "f4": r"-?\d+\.\d{4}",
    "f8": r"-?\d+\.\d{8}",
    "n": r"-?\d+(\.\d+)?",
    "d": r"\d{8}",
    "t": r"\d{6}",
    "m": r"\d{1,2}",
    "y": r"[YN]",
    "c": r"[0-9A-Za-z]+",
    "x": r"(?s:.*)",
}


def fits(fmt: str, value: str) -> bool:
    """Whether a text is a value of a format; an empty one always is."""
    if value.strip() == "":
        return True
    if fmt[0] == "c" and len(fmt) > 1:
        return len(value.strip()) == int(fmt[1:])
    return re.fullmatch(PATTERNS[fmt], value.strip()) is not None


def parse(words: str) -> list[tuple[str, str]]:
    """The list behind one string of `name:format` words."""
    pairs = [word.rsplit(":", 1) for word in words.split()]
    # The one key of the API with a blank inside is written with `~` here.
    return [(name.replace("~", " "), fmt) for name, fmt in pairs]


# (call, output) -> fields.
REST: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("inquire-price", "output"): parse(
        """
        iscd_stat_cls_code:c2 marg_rate:f2 rprs_mrkt_kor_name:x new_hgpr_lwpr_cls_code:x bstp_kor_isnm:x
        temp_stop_yn:y oprc_rang_cont_yn:y clpr_rang_cont_yn:y crdt_able_yn:y grmn_rate_cls_code:c
        elw_pblc_yn:y stck_prpr:i prdy_vrss:s prdy_vrss_sign:c1 prdy_ctrt:f2 acml_tr_pbmn:s acml_vol:i
        prdy_vrss_vol_rate:f2 stck_oprc:i stck_hgpr:i stck_lwpr:i stck_mxpr:i stck_llam:i stck_sdpr:i
        wghn_avrg_stck_prc:f2 hts_frgn_ehrt:f2 frgn_ntby_qty:s pgtr_ntby_qty:s pvt_scnd_dmrs_prc:i
        pvt_frst_dmrs_prc:i pvt_pont_val:i pvt_frst_dmsp_prc:i pvt_scnd_dmsp_prc:i dmrs_val:i dmsp_val:i
        cpfn:i rstc_wdth_prc:i stck_fcam:i stck_sspr:i aspr_unit:i hts_deal_qty_unit_val:i lstn_stcn:i
        hts_avls:i per:f2 pbr:f2 stac_month:m vol_tnrt:f2 eps:f2 bps:f2 d250_hgpr:i d250_hgpr_date:d
        d250_hgpr_vrss_prpr_rate:f2 d250_lwpr:i d250_lwpr_date:d d250_lwpr_vrss_prpr_rate:f2 stck_dryy_hgpr:i
        dryy_hgpr_vrss_prpr_rate:f2 dryy_hgpr_date:d stck_dryy_lwpr:i dryy_lwpr_vrss_prpr_rate:f2
        dryy_lwpr_date:d w52_hgpr:i w52_hgpr_vrss_prpr_ctrt:f2 w52_hgpr_date:d w52_lwpr:i
        w52_lwpr_vrss_prpr_ctrt:f2 w52_lwpr_date:d whol_loan_rmnd_rate:f2 ssts_yn:y stck_shrn_iscd:c6
        fcam_cnnm:x cpfn_cnnm:x apprch_rate:f2 frgn_hldn_qty:i vi_cls_code:y ovtm_vi_cls_code:y
        last_ssts_cntg_qty:i invt_caful_yn:y mrkt_warn_cls_code:c2 short_over_yn:y sltr_yn:y
        mang_issu_cls_code:y
        """
    ),
    ("inquire-ccnl", "output"): parse(
        """
        stck_cntg_hour:t stck_prpr:i prdy_vrss:s prdy_vrss_sign:c1 cntg_vol:i tday_rltv:f2 prdy_ctrt:f2
        """
    ),
    ("inquire-daily-price", "output"): parse(
        """
        stck_bsop_date:d stck_oprc:i stck_hgpr:i stck_lwpr:i stck_clpr:i acml_vol:i prdy_vrss_vol_rate:f2
        prdy_vrss:s prdy_vrss_sign:c1 prdy_ctrt:f2 hts_frgn_ehrt:f2 frgn_ntby_qty:s flng_cls_code:c2
        acml_prtt_rate:f2
        """
    ),
    ("inquire-daily-itemchartprice", "output1"): parse(
        """
        prdy_vrss:s prdy_vrss_sign:c1 prdy_ctrt:f2 stck_prdy_clpr:i acml_vol:i acml_tr_pbmn:s hts_kor_isnm:x
        stck_prpr:i stck_shrn_iscd:c6 prdy_vol:i stck_mxpr:i stck_llam:i stck_oprc:i stck_hgpr:i stck_lwpr:i
        stck_prdy_oprc:i stck_prdy_hgpr:i stck_prdy_lwpr:i askp:i bidp:i prdy_vrss_vol:s vol_tnrt:f2
        stck_fcam:i lstn_stcn:i cpfn:i hts_avls:i per:f2 eps:f2 pbr:f2 itewhol_loan_rmnd_ratem~name:f2
        """
    ),
    ("inquire-daily-itemchartprice", "output2"): parse(
        """
        stck_bsop_date:d stck_clpr:i stck_oprc:i stck_hgpr:i stck_lwpr:i acml_vol:i acml_tr_pbmn:s
        flng_cls_code:c2 prtt_rate:f2 mod_yn:y prdy_vrss_sign:c1 prdy_vrss:s revl_issu_reas:c2
        """
    ),
    ("inquire-time-itemchartprice", "output1"): parse(
        """
        prdy_vrss:s prdy_vrss_sign:c1 prdy_ctrt:f2 stck_prdy_clpr:i acml_vol:i acml_tr_pbmn:s hts_kor_isnm:x
        stck_prpr:i
        """
    ),
    ("inquire-time-itemchartprice", "output2"): parse(
        """
        stck_bsop_date:d stck_cntg_hour:t stck_prpr:i stck_oprc:i stck_hgpr:i stck_lwpr:i cntg_vol:i
        acml_tr_pbmn:s
        """
    ),
    ("inquire-asking-price-exp-ccn", "output1"): parse(
        """
        aspr_acpt_hour:t askp1:i askp2:i askp3:i askp4:i askp5:i askp6:i askp7:i askp8:i askp9:i askp10:i
        bidp1:i bidp2:i bidp3:i bidp4:i bidp5:i bidp6:i bidp7:i bidp8:i bidp9:i bidp10:i askp_rsqn1:i
        askp_rsqn2:i askp_rsqn3:i askp_rsqn4:i askp_rsqn5:i askp_rsqn6:i askp_rsqn7:i askp_rsqn8:i
        askp_rsqn9:i askp_rsqn10:i bidp_rsqn1:i bidp_rsqn2:i bidp_rsqn3:i bidp_rsqn4:i bidp_rsqn5:i
        bidp_rsqn6:i bidp_rsqn7:i bidp_rsqn8:i bidp_rsqn9:i bidp_rsqn10:i askp_rsqn_icdc1:s askp_rsqn_icdc2:s
        askp_rsqn_icdc3:s askp_rsqn_icdc4:s askp_rsqn_icdc5:s askp_rsqn_icdc6:s askp_rsqn_icdc7:s
        askp_rsqn_icdc8:s askp_rsqn_icdc9:s askp_rsqn_icdc10:s bidp_rsqn_icdc1:s bidp_rsqn_icdc2:s
        bidp_rsqn_icdc3:s bidp_rsqn_icdc4:s bidp_rsqn_icdc5:s bidp_rsqn_icdc6:s bidp_rsqn_icdc7:s
        bidp_rsqn_icdc8:s bidp_rsqn_icdc9:s bidp_rsqn_icdc10:s total_askp_rsqn:i total_bidp_rsqn:i
        total_askp_rsqn_icdc:s total_bidp_rsqn_icdc:s ovtm_total_askp_icdc:s ovtm_total_bidp_icdc:s
        ovtm_total_askp_rsqn:i ovtm_total_bidp_rsqn:i ntby_aspr_rsqn:s new_mkop_cls_code:c2
        """
    ),
    ("inquire-asking-price-exp-ccn", "output2"): parse(
        """
        antc_mkop_cls_code:c3 stck_prpr:i stck_oprc:i stck_hgpr:i stck_lwpr:i stck_sdpr:i antc_cnpr:i
        antc_cntg_vrss_sign:c1 antc_cntg_vrss:s antc_cntg_prdy_ctrt:f2 antc_vol:i stck_shrn_iscd:c6
        vi_cls_code:y
        """
    ),
    ("inquire-index-price", "output"): parse(
        """
        bstp_nmix_prpr:f2 bstp_nmix_prdy_vrss:f2 prdy_vrss_sign:c1 bstp_nmix_prdy_ctrt:f2 acml_vol:i
        prdy_vol:i acml_tr_pbmn:i prdy_tr_pbmn:i bstp_nmix_oprc:f2 prdy_nmix_vrss_nmix_oprc:f2
        oprc_vrss_prpr_sign:c1 bstp_nmix_oprc_prdy_ctrt:f2 bstp_nmix_hgpr:f2 prdy_nmix_vrss_nmix_hgpr:f2
        hgpr_vrss_prpr_sign:c1 bstp_nmix_hgpr_prdy_ctrt:f2 bstp_nmix_lwpr:f2 prdy_clpr_vrss_lwpr:f2
        lwpr_vrss_prpr_sign:c1 prdy_clpr_vrss_lwpr_rate:f2 ascn_issu_cnt:i uplm_issu_cnt:i stnr_issu_cnt:i
        down_issu_cnt:i lslm_issu_cnt:i dryy_bstp_nmix_hgpr:f2 dryy_hgpr_vrss_prpr_rate:f2
        dryy_bstp_nmix_hgpr_date:d dryy_bstp_nmix_lwpr:f2 dryy_lwpr_vrss_prpr_rate:f2
        dryy_bstp_nmix_lwpr_date:d total_askp_rsqn:i total_bidp_rsqn:i seln_rsqn_rate:f2 shnu_rsqn_rate:f2
        ntby_rsqn:s
        """
    ),
    ("chk-holiday", "output"): parse(
        """
        bass_dt:d wday_dvsn_cd:c2 bzdy_yn:y tr_day_yn:y opnd_yn:y sttl_day_yn:y
        """
    ),
    ("inquire-vi-status", "output"): parse(
        """
        hts_kor_isnm:x mksc_shrn_iscd:c vi_cls_code:y bsop_date:d cntg_vi_hour:t vi_cncl_hour:t
        vi_kind_code:c1 vi_prc:i vi_stnd_prc:i vi_dprt:f2 vi_dmc_stnd_prc:i vi_dmc_dprt:f2 vi_count:i
        """
    ),
    ("volume-rank", "output"): parse(
        """
        hts_kor_isnm:x mksc_shrn_iscd:c data_rank:i stck_prpr:i prdy_vrss_sign:c1 prdy_vrss:s prdy_ctrt:f2
        acml_vol:i prdy_vol:i lstn_stcn:i avrg_vol:i n_befr_clpr_vrss_prpr_rate:f2 vol_inrt:f2 vol_tnrt:f2
        nday_vol_tnrt:f2 avrg_tr_pbmn:s tr_pbmn_tnrt:f2 nday_tr_pbmn_tnrt:f2 acml_tr_pbmn:s
        """
    ),
    ("market-cap", "output"): parse(
        """
        mksc_shrn_iscd:c data_rank:i hts_kor_isnm:x stck_prpr:i prdy_vrss:s prdy_vrss_sign:c1 prdy_ctrt:f2
        acml_vol:i lstn_stcn:i stck_avls:i mrkt_whol_avls_rlim:f2
        """
    ),
    ("inquire-balance", "output1"): parse(
        """
        pdno:c prdt_name:x trad_dvsn_name:x bfdy_buy_qty:i bfdy_sll_qty:i thdt_buyqty:i thdt_sll_qty:i
        hldg_qty:i ord_psbl_qty:i pchs_avg_pric:f4 pchs_amt:s prpr:i evlu_amt:s evlu_pfls_amt:s
        evlu_pfls_rt:f2 evlu_erng_rt:f8 loan_dt:d loan_amt:s stln_slng_chgs:s expd_dt:d fltt_rt:f8
        bfdy_cprs_icdc:s item_mgna_rt_name:x grta_rt_name:x sbst_pric:i stck_loan_unpr:f4
        """
    ),
    ("inquire-balance", "output2"): parse(
        """
        dnca_tot_amt:s nxdy_excc_amt:s prvs_rcdl_excc_amt:s cma_evlu_amt:s bfdy_buy_amt:s thdt_buy_amt:s
        nxdy_auto_rdpt_amt:s bfdy_sll_amt:s thdt_sll_amt:s d2_auto_rdpt_amt:s bfdy_tlex_amt:s thdt_tlex_amt:s
        tot_loan_amt:s scts_evlu_amt:s tot_evlu_amt:s nass_amt:s fncg_gld_auto_rdpt_yn:y pchs_amt_smtl_amt:s
        evlu_amt_smtl_amt:s evlu_pfls_smtl_amt:s tot_stln_slng_chgs:s bfdy_tot_asst_evlu_amt:s asst_icdc_amt:s
        asst_icdc_erng_rt:f8
        """
    ),
    ("inquire-daily-ccld", "output1"): parse(
        """
        ord_dt:d ord_gno_brno:c5 odno:c10 orgn_odno:c10 ord_dvsn_name:x sll_buy_dvsn_cd:c2
        sll_buy_dvsn_cd_name:x pdno:c prdt_name:x ord_qty:i ord_unpr:i ord_tmd:t tot_ccld_qty:i avg_prvs:n
        cncl_yn:y tot_ccld_amt:s loan_dt:d ordr_empno:x ord_dvsn_cd:c2 cncl_cfrm_qty:i rmn_qty:i rjct_qty:i
        ccld_cndt_name:x inqr_ip_addr:x cpbc_ordp_ord_rcit_dvsn_cd:c2 cpbc_ordp_infm_mthd_dvsn_cd:c2
        infm_tmd:t ctac_tlno:x prdt_type_cd:c3 excg_dvsn_cd:c2 cpbc_ordp_mtrl_dvsn_cd:c2 ord_orgno:c5
        rsvn_ord_end_dt:d excg_id_dvsn_cd:c3 stpm_cndt_pric:i stpm_efct_occr_dtmd:t
        """
    ),
    ("inquire-daily-ccld", "output2"): parse(
        """
        tot_ord_qty:i tot_ccld_qty:i tot_ccld_amt:s prsm_tlex_smtl:s pchs_avg_pric:f4
        """
    ),
    ("inquire-psbl-order", "output"): parse(
        """
        ord_psbl_cash:s ord_psbl_sbst:s ruse_psbl_amt:s fund_rpch_chgs:s psbl_qty_calc_unpr:i nrcvb_buy_amt:s
        nrcvb_buy_qty:i max_buy_amt:s max_buy_qty:i cma_evlu_amt:s ovrs_re_use_amt_wcrc:s
        ord_psbl_frcr_amt_wcrc:s
        """
    ),
    ("inquire-psbl-rvsecncl", "output"): parse(
        """
        ord_gno_brno:c5 odno:c10 orgn_odno:c10 ord_dvsn_name:x pdno:c prdt_name:x rvse_cncl_dvsn_name:x
        ord_qty:i ord_unpr:i ord_tmd:t tot_ccld_qty:i tot_ccld_amt:s psbl_qty:i sll_buy_dvsn_cd:c2
        ord_dvsn_cd:c2 mgco_aptm_odno:x excg_dvsn_cd:c2 excg_id_dvsn_cd:x excg_id_dvsn_name:x stpm_cndt_pric:i
        stpm_efct_occr_yn:y
        """
    ),
    ("order-cash", "output"): parse(
        """
        KRX_FWDG_ORD_ORGNO:c5 ODNO:c10 ORD_TMD:t
        """
    ),
}

# feed -> columns of a record.
FEEDS: dict[str, list[tuple[str, str]]] = {
    "H0STCNT0": parse(
        """
        MKSC_SHRN_ISCD:x STCK_CNTG_HOUR:t STCK_PRPR:i PRDY_VRSS_SIGN:c1 PRDY_VRSS:s PRDY_CTRT:f2
        WGHN_AVRG_STCK_PRC:f2 STCK_OPRC:i STCK_HGPR:i STCK_LWPR:i ASKP1:i BIDP1:i CNTG_VOL:i ACML_VOL:i
        ACML_TR_PBMN:s SELN_CNTG_CSNU:i SHNU_CNTG_CSNU:i NTBY_CNTG_CSNU:s CTTR:f2 SELN_CNTG_SMTN:i
        SHNU_CNTG_SMTN:i CCLD_DVSN:c1 SHNU_RATE:f2 PRDY_VOL_VRSS_ACML_VOL_RATE:f2 OPRC_HOUR:t
        OPRC_VRSS_PRPR_SIGN:c1 OPRC_VRSS_PRPR:s HGPR_HOUR:t HGPR_VRSS_PRPR_SIGN:c1 HGPR_VRSS_PRPR:s
        LWPR_HOUR:t LWPR_VRSS_PRPR_SIGN:c1 LWPR_VRSS_PRPR:s BSOP_DATE:d NEW_MKOP_CLS_CODE:c2 TRHT_YN:y
        ASKP_RSQN1:i BIDP_RSQN1:i TOTAL_ASKP_RSQN:i TOTAL_BIDP_RSQN:i VOL_TNRT:f2 PRDY_SMNS_HOUR_ACML_VOL:i
        PRDY_SMNS_HOUR_ACML_VOL_RATE:f2 HOUR_CLS_CODE:c1 MRKT_TRTM_CLS_CODE:c1 VI_STND_PRC:i
        MARKET_CLS_CODE:c1
        """
    ),
    "H0STASP0": parse(
        """
        MKSC_SHRN_ISCD:x BSOP_HOUR:t HOUR_CLS_CODE:c1 ASKP1:i ASKP2:i ASKP3:i ASKP4:i ASKP5:i ASKP6:i ASKP7:i
        ASKP8:i ASKP9:i ASKP10:i BIDP1:i BIDP2:i BIDP3:i BIDP4:i BIDP5:i BIDP6:i BIDP7:i BIDP8:i BIDP9:i
        BIDP10:i ASKP_RSQN1:i ASKP_RSQN2:i ASKP_RSQN3:i ASKP_RSQN4:i ASKP_RSQN5:i ASKP_RSQN6:i ASKP_RSQN7:i
        ASKP_RSQN8:i ASKP_RSQN9:i ASKP_RSQN10:i BIDP_RSQN1:i BIDP_RSQN2:i BIDP_RSQN3:i BIDP_RSQN4:i
        BIDP_RSQN5:i BIDP_RSQN6:i BIDP_RSQN7:i BIDP_RSQN8:i BIDP_RSQN9:i BIDP_RSQN10:i TOTAL_ASKP_RSQN:i
        TOTAL_BIDP_RSQN:i OVTM_TOTAL_ASKP_RSQN:i OVTM_TOTAL_BIDP_RSQN:i ANTC_CNPR:i ANTC_CNQN:i ANTC_VOL:i
        ANTC_CNTG_VRSS:s ANTC_CNTG_VRSS_SIGN:c1 ANTC_CNTG_PRDY_CTRT:f2 ACML_VOL:i TOTAL_ASKP_RSQN_ICDC:s
        TOTAL_BIDP_RSQN_ICDC:s OVTM_TOTAL_ASKP_ICDC:s OVTM_TOTAL_BIDP_ICDC:s STCK_DEAL_CLS_CODE:x KMID_PRC:i
        KMID_TOTAL_RSQN:i KMID_CLS_CODE:c1 MARKET_CLS_CODE:c1
        """
    ),
    "H0UPCNT0": parse(
        """
        bstp_cls_code:c4 bsop_hour:t prpr_nmix:f2 prdy_vrss_sign:c1 bstp_nmix_prdy_vrss:f2 acml_vol:i
        acml_tr_pbmn:i pcas_vol:i pcas_tr_pbmn:i prdy_ctrt:f2 oprc_nmix:f2 nmix_hgpr:f2 nmix_lwpr:f2
        oprc_vrss_nmix_prpr:f2 oprc_vrss_nmix_sign:c1 hgpr_vrss_nmix_prpr:f2 hgpr_vrss_nmix_sign:c1
        lwpr_vrss_nmix_prpr:f2 lwpr_vrss_nmix_sign:c1 prdy_clpr_vrss_oprc_rate:f2 prdy_clpr_vrss_hgpr_rate:f2
        prdy_clpr_vrss_lwpr_rate:f2 uplm_issu_cnt:i ascn_issu_cnt:i stnr_issu_cnt:i down_issu_cnt:i
        lslm_issu_cnt:i qtqt_ascn_issu_cnt:i qtqt_down_issu_cnt:i tick_vrss:s
        """
    ),
    "H0STMKO0": parse(
        """
        MKSC_SHRN_ISCD:x TRHT_YN:y TR_SUSP_REAS_CNTT:x MKOP_CLS_CODE:x ANTC_MKOP_CLS_CODE:x
        MRKT_TRTM_CLS_CODE:x DIVI_APP_CLS_CODE:x ISCD_STAT_CLS_CODE:x VI_CLS_CODE:y OVTM_VI_CLS_CODE:y
        EXCH_CLS_CODE:x
        """
    ),
    "H0STCNI0": parse(
        """
        CUST_ID:x ACNT_NO:c10 ODER_NO:x OODER_NO:x SELN_BYOV_CLS:c2 RCTF_CLS:c1 ODER_KIND:c2 ODER_COND:c1
        STCK_SHRN_ISCD:c CNTG_QTY:i CNTG_UNPR:i STCK_CNTG_HOUR:t RFUS_YN:c1 CNTG_YN:c1 ACPT_YN:c1 BRNC_NO:x
        ODER_QTY:i ACNT_NAME:x ORD_COND_PRC:x ORD_EXG_GB:c1 POPUP_YN:y FILLER:x CRDT_CLS:x CRDT_LOAN_DATE:x
        CNTG_ISNM40:x ODER_PRC:i
        """
    ),
}

# Documented, but left out by the real servers in every answer seen.
OFTEN_MISSING = {"apprch_rate", "new_hgpr_lwpr_cls_code", "mang_issu_cls_code"}
